"""Trajectories and their windows, and what is known about their environment."""
