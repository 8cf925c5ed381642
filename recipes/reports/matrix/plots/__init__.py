"""Plots of a matrix: which there are, and how each is drawn."""
