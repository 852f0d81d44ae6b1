"""Methods that learn in rounds: write pairs, have them labelled, solve, write again."""
