"""Retraining on a schedule: whether there is anything new to train on, and what became of each attempt."""
