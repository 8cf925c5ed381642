"""Action embeddings: scaled actions to tokens, and hidden vectors to actions."""
