"""The model folder: Darknet pair and ONNX."""
