"""ATM recordings: their layouts, a reader, and a renderer of synthetic ones."""
