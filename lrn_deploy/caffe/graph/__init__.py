"""A network of Caffe as an ONNX graph."""
