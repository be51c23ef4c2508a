"""Networks in other floating-point types: imported in float32, against PyTorch in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files import read, read_judged
from lrn_deploy.workflows.import_network.import_network import import_network
from lrn_deploy.workflows.import_network.options import ImportOptions
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate
from tests.support.onnx_graphs import by_onnxruntime, node, save

Array = NDArray[Any]
TYPES = {
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "float64": TensorProto.DOUBLE,
}
SHAPE = [1, 3, 6, 6]
CHANNELS = 160  # so many that the second convolution's weights are large ones


def rounded(values: Array, kind: str) -> Array:
    """What is left of numbers in a type, as float64."""
    tensor = torch.from_numpy(np.asarray(values, np.float64)).to(getattr(torch, kind))
    return tensor.to(torch.float64).numpy()


def weights(kind: str) -> dict[str, Array]:
    rng = np.random.default_rng(3)
    return {
        "w1": rounded(rng.normal(0, 0.5, (CHANNELS, 3, 3, 3)), kind),
        "b1": rounded(rng.normal(0, 0.5, CHANNELS), kind),
        "w2": rounded(rng.normal(0, 0.1, (4, CHANNELS, 1, 1)), kind),
        "two": np.array(2.0),
    }


def network(kind: str, *, inside: bool = False, opset: int = 18) -> onnx.ModelProto:
    """Convolution, LRN, scaling, convolution; ``inside``: with Casts, float32 outside."""
    own = TYPES[kind]
    outside = TensorProto.FLOAT if inside else own
    tensors = [
        helper.make_tensor(name, own, values.shape, values.ravel())
        for name, values in weights(kind).items()
    ]
    nodes = [
        node("Conv", "x w1 b1" if not inside else "cast w1 b1", "conv1", kernel_shape=[3, 3]),
        node("LRN", "conv1", "norm1", size=5, alpha=0.1, bias=2.0),
        node("Mul", "norm1 two", "scaled"),
        node("Conv", "scaled w2", "y" if not inside else "inner", kernel_shape=[1, 1]),
    ]
    if inside:
        nodes = [node("Cast", "x", "cast", to=own), *nodes, node("Cast", "inner", "y", to=1)]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", outside, SHAPE)],
        [helper.make_tensor_value_info("y", outside, [1, 4, 4, 4])],
        tensors,
        value_info=[helper.make_tensor_value_info("norm1", own, [1, CHANNELS, 4, 4])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def expected(kind: str, x: Array) -> Array:
    """The same by PyTorch in float64, with the weights as the file has them."""
    own = {name: torch.from_numpy(values) for name, values in weights(kind).items()}
    conv1 = functional.conv2d(torch.from_numpy(x.astype(np.float64)), own["w1"], own["b1"])
    scaled = functional.local_response_norm(conv1, 5, 0.1, 0.75, 2.0) * own["two"]
    return functional.conv2d(scaled, own["w2"]).numpy()


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_a_network_of_another_type_computes_the_same_in_float32(
    kind: str, inside: bool, tmp_path: Path
) -> None:
    path = save(tmp_path, network(kind, inside=inside))
    done = import_network(ImportOptions(path), tmp_path / "b")
    (spec,) = done.bundle.manifest.inputs
    assert spec.dtype == done.bundle.manifest.outputs[0].dtype == "float32"
    said = f"The file is in {kind}; the bundle, and what it is compared with, are in float32."
    assert said in done.told
    x = np.random.default_rng(1).normal(0, 3, (2, 3, 6, 6)).astype(np.float32)
    (got,) = by_onnxruntime(done.bundle.load("model").data, {"x": x})
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected(kind, x), rtol=2e-5, atol=2e-5)
    (layer,) = done.bundle.manifest.lrn_layers
    assert (layer.spec.size, layer.spec.alpha, layer.spec.k) == (5, 0.1, 2.0)


def test_it_is_validated_against_its_file_in_float32(tmp_path: Path) -> None:
    done = import_network(ImportOptions(save(tmp_path, network("float16"))), tmp_path / "b")
    options = ValidateOptions(batches=(1,), devices=("cpu",))
    report = validate(done.bundle, options).report
    assert report.verdict == "pass", report.caught_by
    assert {check.backend for check in report.checks if check.kind == "reference"} == {
        "onnxruntime:cpu"
    }
    sample = next(iter(Bundle.open(done.bundle.path).manifest.samples.values()))
    assert sample.reference.endswith(" on the CPU, in float32 for float16")


def test_a_cast_to_a_type_that_is_none_of_its_own_stays(tmp_path: Path) -> None:
    made = network("float16")
    made.graph.node.insert(3, node("Cast", "scaled", "whole", to=TensorProto.INT32))
    made.graph.node.insert(4, node("Cast", "whole", "again", to=TensorProto.FLOAT16))
    made.graph.node[5].input[0] = "again"
    graph = read_judged(save(tmp_path, made))[0].model.graph
    to = [one.attribute[0].i for one in graph.node if one.op_type == "Cast"]
    assert to == [TensorProto.INT32, TensorProto.FLOAT]


def test_what_exporters_compute_in_double_stays(tmp_path: Path) -> None:
    made = network("float64", inside=True)
    for tensor in made.graph.initializer:  # a network of float32 that casts back and forth
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
        )
    made.graph.node[0].attribute[0].i = TensorProto.FLOAT
    del made.graph.value_info[:]
    made.graph.node.insert(1, node("Cast", "cast", "wide", to=TensorProto.DOUBLE))
    made.graph.node.insert(2, node("Cast", "wide", "narrow", to=TensorProto.FLOAT))
    made.graph.node[3].input[0] = "narrow"
    file, _, told = read_judged(save(tmp_path, made))
    assert told == ()
    assert TensorProto.DOUBLE in {
        attribute.i for one in file.model.graph.node for attribute in one.attribute
    }


def test_a_cast_of_old_names_its_type_in_a_word(tmp_path: Path) -> None:
    made = network("float16", inside=True, opset=5)
    for one, word in ((made.graph.node[0], b"FLOAT16"), (made.graph.node[-1], b"FLOAT")):
        del one.attribute[:]
        one.attribute.append(helper.make_attribute("to", word))
    file, opset, told = read_judged(save(tmp_path, made))
    assert (opset, len(told)) == (5, 1)
    assert {one.attribute[0].s for one in file.model.graph.node if one.op_type == "Cast"} == {
        b"FLOAT"
    }


def test_the_branches_of_a_condition_are_widened_too(tmp_path: Path) -> None:
    half = TensorProto.FLOAT16
    value = helper.make_tensor("value", half, [], [1.5])
    branch = helper.make_graph(
        [node("Constant", "", "chosen", value=value)],
        "branch",
        [],
        [helper.make_tensor_value_info("chosen", half, [])],
    )
    made = network("float16")
    made.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    made.graph.node.insert(
        0, node("If", "always", "factor", then_branch=branch, else_branch=branch)
    )
    made.graph.node[3].input[1] = "factor"
    file = read_judged(save(tmp_path, made))[0]
    inner = next(one for one in file.model.graph.node if one.op_type == "If").attribute[0].g
    assert inner.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert numpy_helper.to_array(inner.node[0].attribute[0].t).dtype == np.float32
    assert numpy_helper.to_array(inner.node[0].attribute[0].t) == 1.5


def test_a_number_beyond_float32_is_refused(tmp_path: Path) -> None:
    made = network("float64")
    next(one for one in made.graph.initializer if one.name == "two").CopyFrom(
        numpy_helper.from_array(np.array(-1e300), "two")
    )
    with pytest.raises(
        BadInputError, match="'two' holds -1e\\+300, which is too large for float32"
    ):
        read(save(tmp_path, made))


def test_a_damaged_constant_is_refused(tmp_path: Path) -> None:
    made = network("float16")
    two = next(one for one in made.graph.initializer if one.name == "two")
    damaged = TensorProto(name="value", data_type=TensorProto.FLOAT16, raw_data=b"\0\0\0")
    made.graph.initializer.remove(two)
    made.graph.node.insert(0, node("Constant", "", "two", value=damaged))
    with pytest.raises(BadInputError, match="The values of 'value' are damaged"):
        read(save(tmp_path, made))


def test_infinity_is_no_number_that_was_lost(tmp_path: Path) -> None:
    made = network("float64")
    next(one for one in made.graph.initializer if one.name == "two").CopyFrom(
        numpy_helper.from_array(np.array(np.inf), "two")
    )
    assert read_judged(save(tmp_path, made))[2]
