"""Trunk, adapter, and the models that they make."""
