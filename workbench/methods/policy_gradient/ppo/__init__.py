"""Several steps on each batch of responses, with clipped ratios."""
