"""A run and its folder: its preparation, each MODE/SEED, and its results."""
