"""Layers, C kernels, memory, processes, devices and random numbers."""
