"""Training: the loop, one step of it, and how a run goes on."""
