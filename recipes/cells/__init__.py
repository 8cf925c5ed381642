"""The units of work of a run: one training each, then the episodes that are played with it, and what runs them."""
