"""Building environments from Gymnasium specs, with a check of everything that a file names."""
