"""Layers as PyTorch modules; what a section of a cfg says of them is in `sections`, which works without PyTorch."""
