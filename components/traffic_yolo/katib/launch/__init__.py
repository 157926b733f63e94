"""Submits a Katib Experiment from a pipeline task, waits for it, and says what was best."""
