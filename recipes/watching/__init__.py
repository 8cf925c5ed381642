"""What a person watches while a run works: progress, TensorBoard, videos."""
