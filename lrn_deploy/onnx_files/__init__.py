"""ONNX files that others made, of any opset: read without trust, brought to today's operators.

:func:`read` takes a file to a graph as ``export`` writes them; :func:`read_judged` and
:func:`runnable` to the message that a runtime may run, which the graph is held against.
"""

from lrn_deploy.onnx_files.network import OnnxNetwork, read, read_judged
from lrn_deploy.onnx_files.reading import OnnxFile
from lrn_deploy.onnx_files.runnable import runnable

__all__ = ["OnnxFile", "OnnxNetwork", "read", "read_judged", "runnable"]
