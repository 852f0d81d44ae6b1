"""Pairs whose labels may be wrong."""
