"""Worlds: prompts, all possible responses, and their gold rewards."""
