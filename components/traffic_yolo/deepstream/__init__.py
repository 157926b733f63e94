"""What DeepStream's nvinfer does with a model: configuration, simulation, parity."""
