"""New datasets in Minari's format: a recorder, saving episodes, and publishing all at once."""
