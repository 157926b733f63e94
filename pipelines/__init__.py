"""The Kubeflow pipelines."""
