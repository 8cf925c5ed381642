"""Trunk, adapter, and the models made of both."""
