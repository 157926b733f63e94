"""Ways to run a network for its logits behind one interface: PyTorch, compiled PyTorch, onnxruntime; one file each."""
