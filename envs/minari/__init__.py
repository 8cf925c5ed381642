"""Minari's datasets: what is at hand or to download, what is in the files, and packing them for training."""
