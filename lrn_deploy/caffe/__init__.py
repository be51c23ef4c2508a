"""Networks that Caffe was trained with: prototxt and caffemodel -> ONNX, and a float64 reference.

:func:`read` takes a network as Caffe would run it, :func:`to_ir` and :func:`to_onnx` write it in
ONNX, and :func:`run` computes it in NumPy from Caffe's own definitions: what the graph is held
against.
"""

from lrn_deploy.caffe.graph.to_onnx import to_ir, to_onnx
from lrn_deploy.caffe.inputs import Input
from lrn_deploy.caffe.network import CaffeNetwork, Layer, read
from lrn_deploy.caffe.reference import run

__all__ = ["CaffeNetwork", "Input", "Layer", "read", "run", "to_ir", "to_onnx"]
