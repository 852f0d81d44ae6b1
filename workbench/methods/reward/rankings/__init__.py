"""Reward models learned from rankings of several responses."""
