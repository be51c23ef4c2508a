"""Small graphs of convolutions, LRN and pools, as the exporter writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from hypothesis import strategies as st
from numpy.typing import NDArray

from lrn_deploy.lrn import LrnSpec
from lrn_deploy.passes.lrn.legalize_lrn import DOMAIN, OP_TYPE, legalize_lrn
from lrn_deploy.passes.lrn.lrn_blocks import Bounds

Array = NDArray[Any]


class Chain:
    """A graph that grows at its end: float32 (batch, channels, side, side) -> (batch, classes)."""

    def __init__(self, channels: int = 3, side: int = 8, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape: list[int] = [channels, side, side]
        self.end = self._value("input", self.shape)
        self.input = self.end
        self.nodes: list[ir.Node] = []
        self.weights: list[ir.Value] = []
        self.products: list[int] = []  # that each layer sums for one of its values

    def add(
        self,
        op_type: str,
        others: tuple[ir.Value, ...] = (),
        shape: list[int] | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> Chain:
        self.shape = self.shape if shape is None else shape
        name = f"{op_type.lower()}_{len(self.nodes)}"
        output = self._value(name, self.shape)
        node = ir.node(
            op_type, [self.end, *others], attributes, domain=domain, outputs=[output], name=name
        )
        self.nodes.append(node)
        self.end = output
        return self

    def weight(self, array: Array) -> ir.Value:
        name = f"weight_{len(self.weights)}"
        value = ir.Value(name=name, const_value=ir.Tensor(array, name=name))
        value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
        self.weights.append(value)
        return value

    def conv(self, channels: int, kernel: int = 3, *, bias: bool = True) -> Chain:
        fan_in = self.shape[0] * kernel * kernel
        self.products.append(fan_in)
        weights = [self._normal((channels, self.shape[0], kernel, kernel), (2 / fan_in) ** 0.5)]
        if bias:
            weights.append(self._normal((channels,), 0.1))
        side = self.shape[1]
        pads = [kernel // 2] * 4
        shape = [channels, side, side]
        return self.add("Conv", tuple(map(self.weight, weights)), shape, pads=pads)

    def relu(self) -> Chain:
        return self.add("Relu")

    def pool(self, op_type: str = "MaxPool") -> Chain:
        channels, side, _ = self.shape
        return self.add(
            op_type, shape=[channels, side // 2, side // 2], kernel_shape=[2, 2], strides=[2, 2]
        )

    def lrn(self, spec: LrnSpec) -> Chain:
        return self.add(
            OP_TYPE, domain=DOMAIN, size=spec.size, alpha=spec.alpha, beta=spec.beta, k=spec.k
        )

    def linear(self, classes: int) -> Chain:
        features = int(np.prod(self.shape))
        self.products.append(features)
        self.add("Flatten", shape=[features])
        weights = [self._normal((classes, features), features**-0.5), self._normal((classes,), 0.1)]
        return self.add("Gemm", tuple(map(self.weight, weights)), [classes], transB=1)

    def build(self) -> tuple[ir.Model, list[Bounds]]:
        graph = ir.Graph(
            [self.input],
            [self.end],
            nodes=self.nodes,
            initializers=self.weights,
            opset_imports={"": 18, DOMAIN: 1},
            name="chain",
        )
        model = ir.Model(graph, ir_version=10)
        layers = legalize_lrn(model)
        return model, [(str(item.input.name), str(item.output.name)) for item in layers]

    def _normal(self, shape: tuple[int, ...], scale: float) -> Array:
        return (scale * self.rng.standard_normal(shape)).astype(np.float32)

    def _value(self, name: str, shape: list[int]) -> ir.Value:
        return ir.val(name, dtype=ir.DataType.FLOAT, shape=ir.Shape(["batch", *shape]))


def small_network(seed: int = 0) -> Chain:
    """conv-relu-LRN-pool twice, the second LRN written out, and a linear layer."""
    chain = Chain(seed=seed).conv(16).relu().lrn(LrnSpec(5, 1e-4, 0.75, 2.0)).pool()
    return chain.conv(24).relu().lrn(LrnSpec(5, 1.0, 0.75, 1.0)).pool().linear(10)


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """A random network of one to three blocks."""
    chain = Chain(draw(st.integers(1, 4)), draw(st.sampled_from([4, 8])), draw(st.integers(0, 999)))
    for _ in range(draw(st.integers(1, 3))):
        chain.conv(
            draw(st.integers(1, 20)), draw(st.sampled_from([1, 3])), bias=draw(st.booleans())
        )
        if draw(st.booleans()):
            chain.relu()
        if draw(st.booleans()):
            chain.lrn(
                LrnSpec(
                    size=draw(st.integers(1, 7)),
                    alpha=10 ** draw(st.floats(-5, 0)),
                    beta=draw(st.floats(0.3, 1.2)),
                    k=draw(st.floats(0.5, 2)),
                )
            )
        if chain.shape[1] >= 2 and draw(st.booleans()):
            chain.pool(draw(st.sampled_from(["MaxPool", "AveragePool"])))
    return chain.linear(10) if draw(st.booleans()) else chain


def inputs(model: ir.Model, rows: int = 8, seed: int = 1) -> Array:
    shape = model.graph.inputs[0].shape
    assert shape is not None
    sizes = [rows, *(int(axis) for axis in shape[1:])]
    return np.random.default_rng(seed).standard_normal(sizes).astype(np.float32)


def checked(model: ir.Model) -> bytes:
    """The model's bytes, after ONNX's checker has looked at every type and shape."""
    data = ir.to_proto(model).SerializeToString()
    onnx.checker.check_model(data, full_check=True)
    return bytes(data)


def run_all(data: bytes, x: Array) -> dict[str, Array]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Without VNNI, products of u8 and s8 would saturate; see the backend.
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception:  # a weight that two layers share
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    values = session.run(names, {session.get_inputs()[0].name: x})
    return dict(zip(names, values, strict=True))


def run(model: ir.Model, x: Array) -> Array:
    (value,) = run_all(checked(model), x).values()
    return np.asarray(value)


def distance(y: Array, r: Array) -> float:
    """Relative L2 error; 0 if both are zero."""
    error, scale = np.linalg.norm(y.astype(np.float64) - r), np.linalg.norm(r.astype(np.float64))
    return float(error / scale) if error else 0.0
