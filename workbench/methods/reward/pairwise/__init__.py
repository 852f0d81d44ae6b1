"""One score a response, learned from comparisons."""
