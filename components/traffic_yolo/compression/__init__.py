"""Smaller networks that are still Darknet's: pruning of channels and of whole residual blocks."""
