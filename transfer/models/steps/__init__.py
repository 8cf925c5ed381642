"""What a step is made of: groups of tokens, their order, the method that chooses them, and the scales of values."""
