"""What a model's numbers are at each stage from Darknet to DeepStream, and why."""
