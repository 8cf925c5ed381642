"""The tokenizer ceiling: what the actions of a dataset still earn after encoding and decoding."""
