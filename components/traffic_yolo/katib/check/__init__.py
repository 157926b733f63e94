"""Checks a Katib Experiment before a cluster sees it; knows no cluster."""
