"""What each TensorRT is given for a graph, and what is told of its LRN nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.tensorrt import plugins
from lrn_deploy.tensorrt.flavor import FlavorName
from lrn_deploy.tensorrt.graph import SLOW_LAYER, fit_graph
from tests.support.engine_graphs import lrn_model, model, network

Array = np.ndarray[Any, Any]
SHAPE = (2, 40, 3, 3)
ODD, WIDE, EVEN = LrnSpec(5, 1.0, 0.75, 1.0), LrnSpec(33, 1.0, 0.75, 1.0), LrnSpec(4, 2.0, 0.5, 1.0)


def in_a_row(*specs: LrnSpec) -> bytes:
    """LRNs one after another, named norm0, norm1 and so on: x -> y."""
    names = ["x", *(f"n{at}" for at in range(1, len(specs))), "y"]
    nodes = [
        helper.make_node(
            "LRN",
            [names[at]],
            [names[at + 1]],
            f"norm{at}",
            size=spec.size,
            alpha=spec.alpha,
            beta=spec.beta,
            bias=spec.k,
        )
        for at, spec in enumerate(specs)
    ]
    return model(nodes, {"x": SHAPE}, {"y": SHAPE})


def operators(graph: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(graph).graph.node]


def run(graph: bytes, x: Array) -> Array:
    onnx.checker.check_model(graph, full_check=True)
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    return np.asarray(y)


def by_definition(x: Array, *specs: LrnSpec) -> Array:
    for spec in specs:
        x = reference(x, spec, "onnx")
    return x


X = 3 * np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def test_every_lrn_that_can_be_becomes_sums_of_slices_in_the_graphs_order() -> None:
    specs = (ODD, EVEN, WIDE, ODD)
    data, records = fit_graph(in_a_row(*specs), "rtx", ("sm89",), lrn_layer=False)
    assert [(item.name, item.form) for item in records] == [
        ("norm0", "written out"),
        ("norm1", "written out"),
        ("norm2", "written out"),
        ("norm3", "written out"),
    ]
    even = "its window of 4 is not odd and at most 15"
    assert [item.reason for item in records] == [SLOW_LAYER, even, SLOW_LAYER, SLOW_LAYER]
    found = operators(data)
    assert "LRN" not in found
    assert found.count("AveragePool") == 1, "the even window is written out the other way"
    assert found.count("Pad") == 3
    np.testing.assert_allclose(run(data, X), by_definition(X, *specs), rtol=1e-5)


def test_an_lrn_without_a_name_is_told_by_its_output() -> None:
    graph = onnx.load_from_string(in_a_row(ODD, EVEN))
    for node in graph.graph.node:
        node.name = ""
    _, records = fit_graph(graph.SerializeToString(), "rtx", ("sm89",), lrn_layer=False)
    assert records[0].name == "n1"
    assert len(records) == 2


def test_left_to_the_layer_only_what_it_cannot_hold_is_written_out() -> None:
    specs = (ODD, WIDE, EVEN, ODD)
    data, records = fit_graph(in_a_row(*specs), "rtx", ("sm89",), lrn_layer=True)
    assert [(item.name, item.form) for item in records] == [
        ("norm0", "native"),
        ("norm1", "written out"),
        ("norm2", "written out"),
        ("norm3", "native"),
    ]
    assert [bool(item.reason) for item in records] == [False, True, True, False]
    assert operators(data).count("LRN") == 2
    np.testing.assert_allclose(run(data, X), by_definition(X, *specs), rtol=1e-5)


def test_an_lrn_in_fp16_stays_tensorrts_layer() -> None:
    """Sums of squares in fp16 overflow, so slices are for fp32 only."""
    graph = lrn_model(ODD, dtype=TensorProto.FLOAT16)
    data, (told,) = fit_graph(graph, "rtx", ("sm89",), lrn_layer=False)
    assert (told.form, data) == ("native", graph)


def test_plugins_and_what_they_leave_are_told_in_the_graphs_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugins, "use_plugins", plugins.fuse)  # without looking for Triton
    specs = (WIDE, ODD, WIDE, ODD)
    data, records = fit_graph(in_a_row(*specs), "tensorrt", ("current",), plugins=True)
    assert [item.form for item in records] == ["written out", "plugin", "written out", "plugin"]
    window = "its window of 33 is not odd and at most 15"
    assert [item.reason for item in records] == [window, "lrn for LRN", window, "lrn for LRN"]
    assert [name for name in operators(data) if name in ("LRN", "lrn")] == ["lrn", "lrn"]
    np.testing.assert_allclose(run(data, X), by_definition(X, *specs), rtol=1e-5)


@pytest.mark.parametrize("flavor", ["tensorrt", "rtx"])
def test_a_graph_that_is_fine_as_it_is_keeps_its_bytes(flavor: FlavorName) -> None:
    graph = network()
    data, (told,) = fit_graph(graph, flavor, ("sm89",), lrn_layer=True)
    assert (told.form, data) == ("native", graph)


def product(dtype: int) -> bytes:
    """(batch, 4) -> (batch, 2), by a matrix that is cast from fp32."""
    nodes = [
        helper.make_node("Cast", ["w"], ["v"], "cast", to=dtype),
        helper.make_node("MatMul", ["x", "v"], ["y"], "product"),
    ]
    w = np.arange(8, dtype=np.float32).reshape(4, 2)
    return model(nodes, {"x": ("batch", 4)}, {"y": ("batch", 2)}, {"w": w}, dtype)


def test_a_product_in_fp16_is_widened_for_rtx() -> None:
    data, records = fit_graph(product(TensorProto.FLOAT16), "rtx", ("sm86", "sm89"))
    assert operators(data) == ["Cast", "Cast", "Cast", "MatMul", "Cast"]
    assert records == ()
    x = np.array([[1, 2, 3, 4]], np.float16)  # times the columns 0 2 4 6 and 1 3 5 7
    np.testing.assert_array_equal(run(data, x), np.array([[40, 50]], np.float16))


@pytest.mark.parametrize(
    ("flavor", "targets"),
    [("rtx", ("sm75",)), ("rtx", ("sm75", "sm89")), ("tensorrt", ("current",))],
)
def test_a_product_in_fp16_is_left_alone_for_turing_and_for_full_tensorrt(
    flavor: FlavorName, targets: tuple[str, ...]
) -> None:
    graph = product(TensorProto.FLOAT16)
    assert fit_graph(graph, flavor, targets) == (graph, ())


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.BFLOAT16])
def test_a_product_in_another_type_is_left_alone(dtype: int) -> None:
    graph = product(dtype)
    assert fit_graph(graph, "rtx", ("sm89",), lrn_layer=False) == (graph, ())


def test_a_product_in_int8_is_left_alone() -> None:
    """As the quantized variants have it: fp32 between DequantizeLinear and QuantizeLinear."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], "dequantize"),
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["v"], "weights"),
        helper.make_node("Gemm", ["d", "v"], ["y"], "product"),
    ]
    weights = {
        "w": np.arange(8, dtype=np.int8).reshape(4, 2),
        "scale": np.array(0.5, np.float32),
        "zero": np.array(0, np.int8),
    }
    graph = model(nodes, {"x": ("batch", 4)}, {"y": ("batch", 2)}, weights)
    assert fit_graph(graph, "rtx", ("sm89",), lrn_layer=False) == (graph, ())
