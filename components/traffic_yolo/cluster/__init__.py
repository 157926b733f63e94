"""A Kubernetes cluster as a team states it: what is allowed there, calls to it, schedules; knows nothing of YOLO."""
