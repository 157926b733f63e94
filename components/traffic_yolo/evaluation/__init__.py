"""The step evaluate: slices, kinds of errors, comparison of models, record and report."""
