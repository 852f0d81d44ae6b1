"""Answers, typical wrong answers and hints of the exercises, one file per lesson."""
