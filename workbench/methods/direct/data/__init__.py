"""Methods whose own data make the difference; the loss is known."""
