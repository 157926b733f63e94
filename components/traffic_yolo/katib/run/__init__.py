"""Runs a Katib Experiment on one machine by Katib's own rules: suggestions, trials, metrics and ends."""
