"""Renders ATM recordings of imaginary roads, with exact boxes."""
