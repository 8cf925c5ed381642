"""Minari's datasets: locating, downloading, metadata, reading, and packing for training."""
