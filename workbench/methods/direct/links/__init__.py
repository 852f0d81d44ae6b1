"""Pairs: the loss is a function of log-ratios, and its link is the method."""
