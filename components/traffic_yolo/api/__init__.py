"""The steps as functions for notebooks and programs; each is one call of a step."""
