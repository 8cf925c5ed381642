"""Many runs as one: the settings of `[matrix]`, and what the first paper's figures say."""
