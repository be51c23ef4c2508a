"""A network that was trained elsewhere made a bundle: files of Caffe's, or ONNX."""
