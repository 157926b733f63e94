"""Threshold sweeps and Katib trials."""
