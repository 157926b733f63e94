"""Configurations of nvinfer and deepstream-app: their tables, lint, and writing."""
