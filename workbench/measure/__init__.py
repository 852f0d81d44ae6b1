"""A run or a policy in, a tidy DataFrame out: a row a seed and step."""
