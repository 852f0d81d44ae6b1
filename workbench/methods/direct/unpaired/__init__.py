"""Single responses, with a thumb or with nothing."""
