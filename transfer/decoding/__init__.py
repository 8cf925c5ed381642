"""Choosing actions: the window of the past, decoders that read it, and planners on top."""
