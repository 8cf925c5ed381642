"""What the machine gives: layers, kernels, memory, processes, devices and random numbers."""
