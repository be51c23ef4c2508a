"""Graph passes: ONNX model in, ONNX model out, one pass in one file."""
