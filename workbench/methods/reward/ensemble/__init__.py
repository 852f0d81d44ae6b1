"""Reward models that are several models, combined into one reward."""
