"""Small decoders on transformers: policies, score and value heads, sampling."""
