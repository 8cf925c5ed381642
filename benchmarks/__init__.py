"""Speed and memory, as ratios within one run; see docs/PERFORMANCE.md. Not installed with the library."""
