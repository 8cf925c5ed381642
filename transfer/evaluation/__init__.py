"""Rollouts of a model, and statistics of their returns."""
