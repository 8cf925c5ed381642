"""What runs cells: this process, several processes, or a Ray cluster."""
