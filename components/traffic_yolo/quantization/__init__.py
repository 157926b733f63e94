"""Networks in fewer bits for DeepStream: INT8 by Q/DQ nodes and FP16, with what each costs in AP."""
