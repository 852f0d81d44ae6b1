"""What the rest of a response is worth: values on the prefix tree."""
