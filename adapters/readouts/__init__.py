"""Readouts: hidden vectors to actions, and the loss."""
