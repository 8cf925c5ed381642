"""What is known about one environment: sizes, bounds, observations and reference scores."""
