"""Darknet's file formats and networks."""
