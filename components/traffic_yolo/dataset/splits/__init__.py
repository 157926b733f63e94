"""Who goes into which split, and whether anything leaks from one into another."""
