"""The `transfer` command."""
