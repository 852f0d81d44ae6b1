"""Methods that turn comparisons into scores."""
