from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lrn_deploy.latency import floor
from lrn_deploy.latency.floor import (
    MATRIX,
    Hardware,
    lower_bound,
    measure,
    numpy_product,
    product_graph,
)
from lrn_deploy.latency.work import NodeWork, graph_work


def graph(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> bytes:
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)],
        ir_version=10,
    )
    return bytes(model.SerializeToString())


CONV = helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1], group=2)
FLAT = helper.make_node("Flatten", ["c"], ["f"])
FULL = helper.make_node("Gemm", ["f", "v"], ["y"], name="full", transB=1)


def test_work_of_a_convolution_and_a_full_layer_by_hand() -> None:
    weights = {
        "w": np.ones((6, 2, 3, 3), np.float32),
        "v": np.ones((10, 384), np.float32),
    }
    conv, full = graph_work(graph([CONV, FLAT, FULL], weights))
    # 6 x 8 x 8 outputs of 2 x 3 x 3 products each; 108 floats.
    assert conv == NodeWork("conv", "Conv", 384 * 18, 432, "fp32")
    assert full == NodeWork("full", "Gemm", 10 * 384, 15360, "fp32")


def test_quantized_weights_count_as_they_are_stored() -> None:
    weights = {
        "q": np.ones((6, 2, 3, 3), np.int8),
        "s": np.float32(0.1),
        "v": np.ones((10, 384), np.float32),
    }
    dequantize = helper.make_node("DequantizeLinear", ["q", "s"], ["w"])
    conv, _ = graph_work(graph([dequantize, CONV, FLAT, FULL], weights))
    assert (conv.weight_bytes, conv.kind, conv.macs) == (108, "int8", 384 * 18)


def test_blockwise_weights() -> None:
    weights = {
        "w": np.ones((6, 2, 3, 3), np.float32),
        "b": np.ones((10, 12, 16), np.uint8),
        "s": np.ones(120, np.float32),
    }
    full = helper.make_node(
        "MatMulNBits",
        ["f", "b", "s"],
        ["y"],
        name="full",
        domain="com.microsoft",
        K=384,
        N=10,
        bits=4,
        block_size=32,
    )
    assert graph_work(graph([CONV, FLAT, full], weights))[1] == NodeWork(
        "full", "MatMulNBits", 3840, 1920 + 480, "int8"
    )


WORK = (NodeWork("conv", "Conv", 1000, 10, "fp32"), NodeWork("full", "Gemm", 10, 1000, "fp32"))


def test_each_layer_is_bound_by_the_longer_of_the_two() -> None:
    hardware = Hardware(100.0, 1e4, 0, {"fp32": 100.0})
    bound = lower_bound(WORK, hardware, 1)
    # conv: 10 s of arithmetic against 0.1 s of memory; full: 0.1 s against 10 s.
    assert bound.seconds == pytest.approx(20.0)
    assert (bound.arithmetic, bound.memory) == pytest.approx((10.1, 10.1))
    # A batch of 8 multiplies the arithmetic and reads the weights once.
    assert lower_bound(WORK, hardware, 8).seconds == pytest.approx(90.0)


def test_weights_that_fit_the_cache_are_read_from_it() -> None:
    hardware = Hardware(100.0, 1e4, 2000, {"fp32": 100.0})
    assert lower_bound(WORK, hardware, 1).memory == pytest.approx(0.101)


def test_a_type_that_was_not_measured_is_held_to_the_fastest_that_was() -> None:
    work = (NodeWork("a", "Conv", 1000, 0, "bf16"),)
    rates = {"fp32": 100.0, "int8": 400.0}
    assert lower_bound(work, Hardware(1.0, 1.0, 0, rates), 1).seconds == pytest.approx(2.5)
    assert lower_bound(work, Hardware(1.0, 1.0, 0, {}), 1).seconds == 0.0


def test_the_machine_is_measured_in_plausible_units() -> None:
    hardware = measure(1, None, {"fp32:numpy": numpy_product()})
    assert 1e8 < hardware.memory_bandwidth < 1e13
    assert hardware.cache_bandwidth > 1e8
    assert 1e8 < hardware.matrix_rate["fp32"] < 1e14


def test_the_best_of_two_measurements_counts() -> None:
    first = Hardware(1.0, 8.0, 3, {"fp32": 5.0})
    second = Hardware(2.0, 4.0, 3, {"fp32": 4.0, "int8": 7.0})
    assert first.best_of(second) == Hardware(2.0, 8.0, 3, {"fp32": 5.0, "int8": 7.0})


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_product_graphs_are_counted_right(kind: str) -> None:
    (node,) = graph_work(product_graph(kind))
    assert (node.macs, node.kind) == (MATRIX**2, kind)


def test_weights_exactly_as_large_as_the_cache_fit_it() -> None:
    weights = (NodeWork("a", "Conv", 0, 2000, "fp32"),)
    hardware = Hardware(100.0, 1e4, 2000, {"fp32": 100.0})
    assert lower_bound(weights, hardware, 1).memory == pytest.approx(0.2)
    assert lower_bound((replace(weights[0], weight_bytes=2001),), hardware, 1).memory == (
        pytest.approx(20.01)
    )


def test_rates_are_those_of_the_fastest_try(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 5.0, 10.0, 12.0, *range(100, 112)])  # 5 s, 2 s, then 1 s each
    monkeypatch.setattr(floor.time, "perf_counter", lambda: next(moments))
    assert floor._best(lambda: None) == 1.0
    monkeypatch.setattr(floor, "_best", lambda read: (read(), 2.0)[1])
    # 4096 bytes, read fifty times in two seconds, on two threads together.
    assert floor._bandwidth(4096, 2, 50) == 4096 * 50 / 2
    reads, sizes = [0, 0], list[int]()

    class Part:
        def __init__(self, at: int) -> None:
            self.at = at

        def max(self) -> None:
            reads[self.at] += 1

    def split(values: np.ndarray, count: int) -> list[Part]:
        sizes.append(values.nbytes)
        return [Part(at) for at in range(count)]

    monkeypatch.setattr(floor.np, "array_split", split)
    floor._bandwidth(4096, 2, 50)
    assert (reads, sizes) == ([50, 50], [4096])
    assert measure(1, 7, {}).cache_bytes == 7
    assert measure(1, None, {}).cache_bytes == 32 * 2**20


def test_weights_of_four_bits_are_two_to_a_byte() -> None:
    model = onnx.load_from_string(graph([], {}))
    # 6 x 2 x 3 x 3 = 108 of them, and 3 x 5 = 15, of which the last has a byte of its own.
    for name, dims, size in (("q", (6, 2, 3, 3), 54), ("p", (3, 5), 8)):
        tensor = TensorProto(name=name, data_type=TensorProto.INT4, dims=dims, raw_data=bytes(size))
        model.graph.initializer.append(tensor)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "s"))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", 1, ["batch", 4, 8, 8]))
    model.graph.input.append(helper.make_tensor_value_info("r", 1, ["batch", 5]))
    model.graph.node.extend(
        [
            helper.make_node("DequantizeLinear", ["q", "s"], ["w"]),
            CONV,
            helper.make_node("DequantizeLinear", ["p", "s"], ["v"]),
            helper.make_node("Gemm", ["r", "v"], ["y"], transB=1),
        ]
    )
    model.opset_import[0].version = 21
    work = graph_work(model.SerializeToString())
    assert [(item.weight_bytes, item.kind) for item in work] == [(54, "int8"), (8, "int8")]


def test_the_larger_cache_of_two_measurements_counts() -> None:
    small, large = Hardware(1.0, 1.0, 3, {}), Hardware(1.0, 1.0, 5, {})
    assert small.best_of(large).cache_bytes == large.best_of(small).cache_bytes == 5


def test_memory_is_read_beyond_the_caches_and_each_thread_has_a_part_that_fits_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, ...]] = []

    def bandwidth(*how: int) -> float:
        asked.append(how)
        return 10.0 * len(asked)

    monkeypatch.setattr(floor, "_bandwidth", bandwidth)
    hardware = measure(4, None, {})
    assert (hardware.memory_bandwidth, hardware.cache_bandwidth) == (10.0, 20.0)
    (memory, *_), (cached, *_) = asked
    assert {threads for _, threads, _ in asked} == {4}
    assert memory >= 4 * floor.FALLBACK_CACHE
    assert cached == 4 * 2**20  # a second level of 1 MiB and more is usual


def test_the_fastest_product_of_each_type_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "_bandwidth", lambda *_: 1.0)
    monkeypatch.setattr(floor, "_best", lambda product: product())
    products = {"fp32:numpy": lambda: 0.5, "fp32:other": lambda: 0.25, "int8:other": lambda: 0.125}
    rates = measure(1, None, products).matrix_rate
    assert rates == {"fp32": 4 * 1024**3, "int8": 8 * 1024**3}


def layer(op: str, inputs: str, weights: dict[str, np.ndarray], **attributes: object) -> NodeWork:
    """The work of one node of x (batch, 3, 6); other inputs have no part in it."""
    uint8, int32 = TensorProto.UINT8, TensorProto.INT32
    types = {"MatMulInteger": (uint8, int32), "QLinearMatMul": (uint8, uint8)}
    x, y = types.get(op, (TensorProto.FLOAT, TensorProto.FLOAT))
    names = inputs.split()
    arrays = {name: weights.get(name, np.float32(1)) for name in names if name != "x"}
    made = helper.make_graph(
        [helper.make_node(op, names, ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info("x", x, ["batch", 3, 6])],
        [helper.make_tensor_value_info("y", y, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()],
    )
    (work,) = graph_work(
        helper.make_model(
            made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
        ).SerializeToString()
    )
    return work


@pytest.mark.parametrize(
    ("dtype", "size", "kind"),
    [
        (np.float32, 4, "fp32"),
        (np.float16, 2, "fp16"),
        (np.float64, 8, "fp64"),
        (np.int8, 1, "int8"),
        (np.uint8, 1, "int8"),
        (np.int32, 4, "other"),
    ],
)
def test_a_product_by_a_constant_of_any_type(dtype: type, size: int, kind: str) -> None:
    work = layer("MatMul", "x w", {"w": np.ones((6, 4), dtype)})
    # 3 rows of 4 sums of 6 products each; a node without a name has its output's.
    assert work == NodeWork("y", "MatMul", 3 * 4 * 6, 6 * 4 * size, kind)


def test_weights_of_quantized_products_stand_behind_the_scale_of_the_input() -> None:
    weights = {"w": np.ones((6, 4), np.int8), "z": np.uint8(0), "v": np.int8(0)}
    work = layer("QLinearMatMul", "x s z w s v s z", weights)
    assert (work.macs, work.weight_bytes, work.kind) == (72, 24, "int8")
    work = layer("MatMulInteger", "x w", {"w": np.ones((6, 4), np.int8)})
    assert (work.macs, work.weight_bytes, work.kind) == (72, 24, "int8")


def test_a_layer_whose_output_has_no_known_shape_is_not_counted() -> None:
    nodes = [helper.make_node("Unknown", ["x"], ["u"], domain="com.microsoft"),
             helper.make_node("MatMul", ["u", "w"], ["y"])]  # fmt: skip
    assert graph_work(graph(nodes, {"w": np.ones((6, 4), np.float32)})) == ()
