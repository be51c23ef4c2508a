"""int8 and smaller weights: what is observed, where nodes of quantization go, how weights round."""
