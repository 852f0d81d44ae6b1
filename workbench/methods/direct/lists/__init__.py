"""Several scored responses to each prompt."""
