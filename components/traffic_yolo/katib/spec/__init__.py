"""Katib's own vocabulary and rules, shared by the checker and the local runner; knows no cluster."""
