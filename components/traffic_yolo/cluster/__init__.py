"""What a team states of its Kubernetes cluster, what Kubernetes allows there, calls to it; knows nothing of YOLO."""
