"""The layer sections of a cfg: one file for each kind."""
