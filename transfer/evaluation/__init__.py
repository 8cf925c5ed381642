"""Playing episodes with a model, and what came of them."""
