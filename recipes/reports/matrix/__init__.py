"""The report of a matrix: many runs, each at its own coordinates."""
