"""How far two runtimes report the same boxes, and the verdict on it."""
