"""Models of preferences that no score need explain: cycles can be learned."""
