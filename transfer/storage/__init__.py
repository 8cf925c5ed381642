"""Files, checkpoints and fingerprints: knows modules and JSON, and no class of the library."""
