"""Responses to one prompt judged against each other, token by token."""
