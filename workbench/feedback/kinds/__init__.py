"""One file per kind of feedback: the batch a loss reads, the data set that makes it."""
