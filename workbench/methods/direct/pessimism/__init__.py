"""Pairs: links and terms that hold back where the data say little."""
