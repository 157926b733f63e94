"""Checks of labelled pictures: what is wrong, where, how badly; and the radar's view of what the labels lack."""
