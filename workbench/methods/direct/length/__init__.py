"""Pairs: what the length of a response counts."""
