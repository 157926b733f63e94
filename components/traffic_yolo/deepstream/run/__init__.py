"""A run of the real deepstream-app, and what it leaves behind."""
