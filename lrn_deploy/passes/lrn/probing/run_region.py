"""A region of a graph as a function: cut out, and run in ONNX Runtime as it is written."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from lrn_deploy.passes.lrn.probing.region import Region

Floats = NDArray[np.float32]

MAX_ELEMENTS = 2**22
"""What an input may hold: a few images of any LRN known. A batch that was exported as a constant
can be any number, and each of two dozen runs would take a second and more."""
_MAX_INSIDE = 2**26
"""What any value inside may hold."""
_FREE_BATCH = 2
_FREE_LENGTHS = (5, 7, 6, 4)
"""What dynamic axes are while they are probed: small, and unlike each other, and one more then."""
_MIN_IR_VERSION = 4
_MAX_IR_VERSION = 10


class CannotRunError(Exception):
    """A region cannot be run; the message says why."""


class TooLargeError(CannotRunError):
    """A region would take too long or too much memory; the message says what is large."""


def can_run() -> bool:
    """Whether ONNX Runtime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def probing_shapes(x: ir.Value) -> list[tuple[int, ...]]:
    """The shape that x is probed in, and another that it may have, if it may.

    Raises:
        CannotRunError: If its rank is unknown.
        TooLargeError: If it is too large to be run.
    """
    if x.shape is None:
        raise CannotRunError("the shape of its input is not known")
    free: dict[object, int] = {}
    lengths = iter(_FREE_LENGTHS * len(x.shape))
    shape, another = [], []
    for at, axis in enumerate(x.shape):
        if isinstance(axis, int):
            shape.append(axis)
            another.append(axis)
        else:
            symbol = axis.value or at
            if symbol not in free:
                free[symbol] = next(lengths) if at else _FREE_BATCH
            shape.append(free[symbol])
            another.append(free[symbol] + 1)
    if not 0 < math.prod(another) <= MAX_ELEMENTS:
        raise TooLargeError(f"an input of shape {shape} is not run to find out what it computes")
    return [tuple(shape), tuple(another)] if free else [tuple(shape)]


class RegionRun:
    """What a region computes.

    Args:
        region: The region; x is of known shape, and both x and y are in fp32.
        opset: Of the default domain.
        ir_version: Of the model that it is cut out of.

    Raises:
        CannotRunError: If ONNX Runtime does not take it.
        TooLargeError: If it makes too much of its input.
    """

    def __init__(self, region: Region, *, opset: int, ir_version: int) -> None:
        import onnxruntime as ort

        self._name = str(region.x.name)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            model = _cut_out(region, opset, ir_version)
            _require_small(model, probing_shapes(region.x)[0])
            data = model.SerializeToString()
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except CannotRunError:
            raise
        except Exception as error:  # the runtime's own errors share no other base
            raise CannotRunError(f"ONNX Runtime does not take it: {error}") from error

    def __call__(self, x: NDArray[np.floating]) -> Floats:
        """What leaves the region when x enters it.

        Raises:
            CannotRunError: If ONNX Runtime fails, or makes another shape of it.
        """
        try:
            (y,) = self._session.run(None, {self._name: np.ascontiguousarray(x, np.float32)})
        except Exception as error:  # as above
            raise CannotRunError(f"ONNX Runtime cannot run it: {error}") from error
        if y.shape != x.shape or y.dtype != np.float32:
            raise CannotRunError(f"it makes {y.dtype} of shape {y.shape} of shape {x.shape}")
        return np.asarray(y)


def _cut_out(region: Region, opset: int, ir_version: int) -> onnx.ModelProto:
    """A model of the region alone."""
    axes = [axis if isinstance(axis, int) else None for axis in region.x.shape or ()]
    graph = helper.make_graph(
        [ir.to_proto(node) for node in region.nodes],
        "region",
        [helper.make_tensor_value_info(str(region.x.name), onnx.TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info(str(region.y.name), onnx.TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(value.const_value.numpy(), str(value.name))
            for value in region.constants
            if value.const_value is not None
        ],
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=min(max(ir_version, _MIN_IR_VERSION), _MAX_IR_VERSION),
    )


def _require_small(model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    """Refuse a region in which a few numbers make gigabytes of an input of this shape."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    name = fixed.graph.input[0].name
    fixed.graph.input[0].CopyFrom(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    )
    for value in onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph.value_info:
        axes = value.type.tensor_type.shape.dim
        if math.prod(axis.dim_value or 1 for axis in axes) > _MAX_INSIDE:
            raise TooLargeError(f"'{value.name}' is too large to be run")
