"""Trajectories, their windows, and their environment."""
