"""Methods that imitate responses."""
