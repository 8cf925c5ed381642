"""State embeddings: normalised states (B, T, S) -> token groups (B, T, n, D)."""
