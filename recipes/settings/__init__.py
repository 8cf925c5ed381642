"""Settings of a run: what they are, how a file becomes them, and the presets that ship."""
