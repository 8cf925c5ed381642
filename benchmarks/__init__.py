"""Speed and memory, as ratios within one run. Not installed; from a checkout: `python -m benchmarks.sampling`."""
