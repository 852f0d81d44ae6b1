"""Reward models of many users, whose tastes differ."""
