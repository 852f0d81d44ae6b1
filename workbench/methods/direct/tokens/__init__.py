"""Pairs of which more is known than a label: steps, rewards of tokens."""
