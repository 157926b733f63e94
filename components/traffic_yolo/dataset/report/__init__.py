"""The page about a data set, and what it is made of."""
