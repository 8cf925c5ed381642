"""Layers that compute what PyTorch's compute, in less time on a CPU."""
