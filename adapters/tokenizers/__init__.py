"""Action tokenizers: real numbers to bin ids, and back."""
