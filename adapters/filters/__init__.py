"""Filters: which episodes of a dataset are trained on."""
