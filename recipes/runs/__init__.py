"""A run and its folder: what is prepared, each MODE/SEED of it, and what it leaves behind."""
