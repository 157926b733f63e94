"""Data sets: neutral records, label formats, splits, manifest and report."""
