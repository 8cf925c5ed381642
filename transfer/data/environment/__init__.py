"""One environment: its sizes, bounds, observations and reference scores."""
