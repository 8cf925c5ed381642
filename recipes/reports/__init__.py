"""Reports of runs: tables, differences and plots."""
