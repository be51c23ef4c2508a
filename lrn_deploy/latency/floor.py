"""The hardware floor: how fast a graph could be at best on the machine at hand.

Each layer must read its weights and do its multiply-adds, and the layers follow one another, so no
run is shorter than the sum over the layers of the longer of the two: the roofline model (Williams,
Waterman and Patterson, Roofline, CACM 52(4), 2009), layer by layer. Activations and everything
that is no matrix product or convolution are left out, so the true bound lies higher, never lower.
Rates are measured, as the best of several tries: a data sheet's are never reached.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from lrn_deploy.latency.work import NodeWork

MATRIX = 1024
"""Rows and columns of the matrices that the matrix rate is measured with."""
_BUFFER = 128 << 20
_CACHED = 1 << 20
_TRIES = 8
FALLBACK_CACHE = 32 << 20
"""Bytes that are taken to fit the caches where the system does not say."""


@dataclass(frozen=True)
class Hardware:
    """What the machine can do at best, measured.

    Attributes:
        memory_bandwidth: Bytes read in a second from memory, all threads together.
        cache_bandwidth: The same for data that fits the caches.
        cache_bytes: Weights up to this size may stay in the caches between runs.
        matrix_rate: Multiply-adds in a second, by element type, ``fp32`` or ``int8``.
    """

    memory_bandwidth: float
    cache_bandwidth: float
    cache_bytes: int
    matrix_rate: Mapping[str, float]

    def best_of(self, other: Hardware) -> Hardware:
        """The higher of each rate: a machine in use shows less than it can do, never more."""
        kinds = {*self.matrix_rate, *other.matrix_rate}
        return Hardware(
            max(self.memory_bandwidth, other.memory_bandwidth),
            max(self.cache_bandwidth, other.cache_bandwidth),
            max(self.cache_bytes, other.cache_bytes),
            {k: max(self.matrix_rate.get(k, 0), other.matrix_rate.get(k, 0)) for k in kinds},
        )


@dataclass(frozen=True)
class Bound:
    """The least time of one run.

    Attributes:
        seconds: The bound, layer by layer.
        arithmetic: What the multiply-adds alone take, in seconds.
        memory: What reading the weights alone takes, in seconds.
        macs: Multiply-adds of one run.
        weight_bytes: Bytes of weights.
    """

    seconds: float
    arithmetic: float
    memory: float
    macs: int
    weight_bytes: int


def measure(
    threads: int, cache_bytes: int | None, products: Mapping[str, Callable[[], object]]
) -> Hardware:
    """Measure the machine, which takes about half a second.

    Args:
        threads: Threads that read memory.
        cache_bytes: Size of the last cache; None takes :data:`FALLBACK_CACHE`.
        products: What multiplies two square matrices of :data:`MATRIX` rows, by a name that begins
            with the element type: ``fp32:numpy``. The fastest of each type counts.
    """
    rates: dict[str, float] = {}
    for name, product in products.items():
        kind = name.partition(":")[0]
        rates[kind] = max(rates.get(kind, 0.0), MATRIX**3 / _best(product))
    return Hardware(
        memory_bandwidth=_bandwidth(_BUFFER, threads, 1),
        cache_bandwidth=_bandwidth(_CACHED * threads, threads, 50),
        cache_bytes=cache_bytes or FALLBACK_CACHE,
        matrix_rate=rates,
    )


def numpy_product() -> Callable[[], object]:
    """A float32 product of two matrices by numpy, on the threads of its BLAS."""
    left = np.random.default_rng(0).standard_normal((MATRIX, MATRIX), np.float32)
    right, out = left.T.copy(), np.empty_like(left)
    return lambda: np.matmul(left, right, out=out)


def product_graph(kind: str) -> bytes:
    """An ONNX graph that multiplies its input ``x`` of (N, :data:`MATRIX`) by a constant matrix.

    Args:
        kind: ``fp32``, or ``int8`` for uint8 times int8 with int32 sums.
    """
    rng = np.random.default_rng(0)
    shape = (MATRIX, MATRIX)
    if kind == "fp32":
        weights, types, node = (
            rng.standard_normal(shape).astype(np.float32),
            (TensorProto.FLOAT, TensorProto.FLOAT),
            "MatMul",
        )
    else:
        weights, types, node = (
            rng.integers(-64, 64, shape).astype(np.int8),
            (TensorProto.UINT8, TensorProto.INT32),
            "MatMulInteger",
        )
    graph = helper.make_graph(
        [helper.make_node(node, ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", types[0], ["batch", MATRIX])],
        [helper.make_tensor_value_info("y", types[1], ["batch", MATRIX])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def product_input(kind: str) -> np.ndarray[tuple[int, int], np.dtype[np.generic]]:
    """What enters the graph of :func:`product_graph`."""
    values = np.random.default_rng(1).integers(0, 100, (MATRIX, MATRIX))
    return values.astype(np.float32 if kind == "fp32" else np.uint8)


def lower_bound(work: tuple[NodeWork, ...], hardware: Hardware, batch: int) -> Bound:
    """The least time of one run of a graph.

    A layer in an element type whose rate was not measured is held to the fastest rate that was.

    Args:
        work: Multiply-adds for one item, and weights, of each layer.
        hardware: What the machine can do.
        batch: Items in a run; weights are read once for all of them.
    """
    total = sum(node.weight_bytes for node in work)
    cached = total <= hardware.cache_bytes
    bandwidth = hardware.cache_bandwidth if cached else hardware.memory_bandwidth
    fastest = max(hardware.matrix_rate.values(), default=math.inf)
    arithmetic = [batch * node.macs / hardware.matrix_rate.get(node.kind, fastest) for node in work]
    memory = [node.weight_bytes / bandwidth for node in work]
    return Bound(
        seconds=sum(max(pair) for pair in zip(arithmetic, memory, strict=True)),
        arithmetic=sum(arithmetic),
        memory=sum(memory),
        macs=batch * sum(node.macs for node in work),
        weight_bytes=total,
    )


def _bandwidth(size: int, threads: int, repeats: int) -> float:
    """Bytes in a second of reading ``size`` bytes, split among threads; numpy frees the GIL."""
    parts = np.array_split(np.ones(size // 4, np.float32), threads)

    def read(part: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
        for _ in range(repeats):
            part.max()

    with ThreadPoolExecutor(threads) as pool:
        return size * repeats / _best(lambda: list(pool.map(read, parts)))


def _best(function: Callable[[], object]) -> float:
    """Seconds of the fastest of several runs."""
    seconds = []
    for _ in range(_TRIES):
        before = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - before)
    return min(seconds)
