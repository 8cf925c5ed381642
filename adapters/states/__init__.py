"""State embeddings: normalised states to tokens."""
