"""Choosing actions: the past of some environments, decoders that read it, and planners on top."""
