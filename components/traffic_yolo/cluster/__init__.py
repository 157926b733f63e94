"""What a team states once of its Kubernetes cluster, and what Kubernetes allows there; knows nothing of YOLO."""
