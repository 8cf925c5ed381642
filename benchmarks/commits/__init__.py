"""Two commits against each other: their speed (`python -m benchmarks.commits`), and whether they compute the same."""
