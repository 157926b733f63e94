"""nvinfer's rules without a GPU: what it does before the network and after it."""
