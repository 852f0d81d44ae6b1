"""One score per response, learned from comparisons."""
