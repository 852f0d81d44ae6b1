"""Measures of a run or a policy: tidy DataFrames, one row per seed and step."""
