"""Training: the loop, one update, its settings, and resuming."""
