"""Progress, TensorBoard logs and films of a policy."""
