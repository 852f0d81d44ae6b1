"""Single responses or pairs, each with a weight of its own."""
