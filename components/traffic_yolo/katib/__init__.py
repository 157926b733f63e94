"""Any Katib Experiment: what Katib defines, a checker, a local runner, a launcher. Knows nothing of YOLO."""
