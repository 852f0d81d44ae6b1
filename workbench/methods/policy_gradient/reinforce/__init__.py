"""One step on each batch of responses; the baseline comes from other responses."""
