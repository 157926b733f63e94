"""Training of Darknet networks."""
