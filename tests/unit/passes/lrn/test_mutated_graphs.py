"""Graphs with faults of any kind are raised rightly or left, and never end in a traceback."""

from __future__ import annotations

import math
import random

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from lrn_deploy.passes.lrn.raise_lrn import raise_lrn
from tests.support.torn_lrn import torn
from tests.support.torn_parts import Torn

MUTANTS = 25
FORMS = [
    Torn("pool", "reciprocal"),
    Torn("slices", "pow mul", shape=(3, 2, 6), last=True),
    Torn("conv1d", "roots"),
    Torn("unfold", shape=(6, 7), opset=13),
    Torn("split", "exp log"),
    Torn("two pads", opset=9),
]
OPERATORS = ["Mul", "Add", "Pow", "Sqrt", "Slice", "Conv", "Reshape", "Shape", "If", "Cast", "Relu"]
NUMBERS = [-1, 0, 1, 2, 3, 100, 2**30, 10**12]


def mutate(proto: onnx.ModelProto, luck: random.Random) -> None:
    """One of: an input less, another input, another operator, attribute, constant or opset."""
    node = luck.choice([item for item in proto.graph.node if item.input])
    kind = luck.randrange(7)
    if kind == 0:
        del node.input[luck.randrange(len(node.input))]
    elif kind == 1:
        names = [name for item in proto.graph.node for name in item.output]
        node.input[luck.randrange(len(node.input))] = luck.choice([*names, "x", "other", ""])
    elif kind == 2:
        node.op_type = luck.choice(OPERATORS)
    elif kind == 3 and node.attribute:
        attribute = luck.choice(node.attribute)
        if attribute.ints:
            attribute.ints[luck.randrange(len(attribute.ints))] = luck.choice(NUMBERS)
        else:
            attribute.i = luck.choice(NUMBERS)
    elif kind in (3, 4):
        tensor = luck.choice(proto.graph.initializer)
        array = numpy_helper.to_array(tensor).copy()
        array.reshape(-1)[luck.randrange(array.size)] = luck.choice(NUMBERS)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    elif kind == 5:
        proto.opset_import[0].version = luck.choice([1, 7, 9, 11, 13, 18, 22])
    else:
        axis = luck.choice(proto.graph.input[0].type.tensor_type.shape.dim)
        axis.dim_value = luck.choice([0, 1, 5, 2**30])


def computed(proto: onnx.ModelProto) -> np.ndarray | None:
    """What the graph makes of one input; None if it cannot be run."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        feed = {}
        for item in session.get_inputs():
            shape = [axis if isinstance(axis, int) else 3 for axis in item.shape]
            if math.prod(shape) > 10**6:
                return None
            feed[item.name] = np.random.default_rng(0).normal(0, 300, shape).astype(np.float32)
        return np.asarray(session.run(["y"], feed)[0])
    except Exception:  # the runtime's own errors share no other base
        return None


@pytest.mark.parametrize("how", FORMS, ids=lambda how: f"{how.window}, {how.power}")
def test_mutants_are_raised_rightly_or_left(how: Torn) -> None:
    luck = random.Random(how.window)
    for _ in range(MUTANTS):
        proto = torn(how)
        mutate(proto, luck)
        model = ir.from_proto(proto)
        if all(item.reason for item in raise_lrn(model)):
            continue
        before, after = computed(proto), computed(ir.to_proto(model))
        if before is not None:
            assert after is not None
            np.testing.assert_allclose(after, before, rtol=5e-5)
