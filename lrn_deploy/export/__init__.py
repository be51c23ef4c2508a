"""From PyTorch to the canonical ONNX graph, with every LRN kept whole where that is right."""
