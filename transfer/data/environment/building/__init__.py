"""Building environments from what files say about them, and from nothing else that they name."""
