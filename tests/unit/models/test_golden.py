"""Our networks against graphs that others wrote, run by another runtime.

onnx bundles the topologies of bvlc_alexnet, bvlc_googlenet and zfnet512 with constant weights,
which notice nothing: every weight is 0.02. Here their ConstantOfShape nodes are replaced by seeded
He-normal weights, of fewer hidden units in the last layers. Nodes, attributes and the real biases
that the GoogLeNet graph carries stay as they are; ONNX Runtime computes the expected logits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from lrn_deploy.images.examples import photographs
from lrn_deploy.images.preprocess import preprocess
from lrn_deploy.lrn import LrnSpec, activity
from lrn_deploy.models import ZOO
from tests.support import narrow

Array = NDArray[np.float32]
Layer = TypeVar("Layer", bound=nn.Module)

GRAPHS = Path(onnx.__file__).parent / "backend/test/data/light"
BUDGET = 2e-6
NOTICED = 1000 * BUDGET


@dataclass(frozen=True)
class Case:
    """One of our networks and the graph that it should be.

    Attributes:
        name: Its name in the zoo.
        file: The bundled graph.
        size: A size of images at which rounding a pool's size up and down agree. The bundled
            graphs round down where Caffe and our GoogLeNet round up; at this size both run as
            they are. (222 gives GoogLeNet 111, 55, 27, 13, 6.)
    """

    name: str
    file: str
    size: int


CASES = (
    Case("alexnet_grouped", "light_bvlc_alexnet", 227),
    Case("googlenet", "light_inception_v1", 222),
    Case("zfnet", "light_zfnet512", 224),
)


@dataclass(frozen=True)
class Golden:
    """Our network with a bundled graph's weights, and that graph in ONNX Runtime.

    Attributes:
        known: ONNX Runtime's logits, by the bytes of the images.
    """

    case: Case
    module: nn.Module
    session: onnxruntime.InferenceSession
    known: dict[bytes, Array] = field(default_factory=dict)

    def logits(self, x: Array) -> Array:
        with torch.inference_mode():
            return np.asarray(self.module(torch.from_numpy(x)).numpy())

    def expected(self, x: Array) -> Array:
        """ONNX Runtime's logits; the graphs take one image at a time."""
        name = next(i.name for i in self.session.get_inputs() if i.name.endswith("data_0"))
        for image in x:
            if image.tobytes() not in self.known:
                self.known[image.tobytes()] = self.session.run(None, {name: image[None]})[0]
        return np.concatenate([self.known[image.tobytes()] for image in x])

    def error(self, x: Array) -> float:
        expected = self.expected(x)
        return float(np.linalg.norm(self.logits(x) - expected) / np.linalg.norm(expected))

    def pictures(self, size: int | None = None) -> Array:
        """Two photographs as the network takes them: pixels of about -120 to 150."""
        return _pictures(self.case.name, size or self.case.size)


@functools.cache
def _pictures(name: str, size: int) -> Array:
    preprocessing = ZOO[name].preprocessing.model_copy(update={"crop": (size, size)})
    return np.stack([preprocess(photo.image, preprocessing) for photo in photographs()])


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    case: Case = request.param
    model = onnx.load(GRAPHS / f"{case.file}.onnx")
    weights = fill(model.graph)
    module = narrow.build(ZOO[case.name]).eval()
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == len(weights)
    with torch.no_grad():
        for layer, (weight, bias) in zip(layers, weights, strict=True):
            assert layer.bias is not None
            layer.weight.copy_(torch.from_numpy(weight.copy()).reshape(layer.weight.shape))
            layer.bias.copy_(torch.from_numpy(bias.copy()))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # the old graphs list their weights as inputs
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return Golden(case, module, session)


def fill(graph: onnx.GraphProto) -> list[tuple[Array, Array]]:
    """Put He-normal weights and small biases into a bundled graph, and give out its logits.

    Returns each Conv's and Gemm's weight and bias, in the order of the nodes.
    """
    generator = np.random.default_rng(20120930)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            nodes.append(node)
            continue
        shape = tuple(narrow.hidden(int(axis)) for axis in constants[node.input[0]])
        value = generator.standard_normal(shape, dtype=np.float32)
        # A convolution has (out, in, high, wide), a linear layer (out, in) or (1, 1, out, in).
        fan_in = np.prod(shape[1:]) if shape[:2] != (1, 1) else shape[3]
        value *= np.float32((2 / fan_in) ** 0.5 if len(shape) > 1 else 0.1)
        constants[node.output[0]] = value
        graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    softmax = nodes.pop()
    assert softmax.op_type == "Softmax"
    del graph.node[:]
    graph.node.extend(nodes)
    graph.output[0].name = softmax.input[0]
    (images,) = (value for value in graph.input if value.name.endswith("data_0"))
    for axis, name in ((2, "height"), (3, "width")):
        images.type.tensor_type.shape.dim[axis].dim_param = name
    reshaped = {node.output[0]: node.input[0] for node in nodes if node.op_type == "Reshape"}
    return [
        (constants[reshaped.get(node.input[1], node.input[1])], constants[node.input[2]])
        for node in nodes
        if node.op_type in ("Conv", "Gemm")
    ]


@contextmanager
def changed(layers: Sequence[nn.Module], **values: object) -> Iterator[None]:
    """Give attributes of layers other values for a while."""
    before = [{name: getattr(layer, name) for name in values} for layer in layers]
    for layer in layers:
        for name, value in values.items():
            setattr(layer, name, value)
    try:
        yield
    finally:
        for layer, old in zip(layers, before, strict=True):
            for name, value in old.items():
                setattr(layer, name, value)


def of_kind(module: nn.Module, kind: type[Layer]) -> list[Layer]:
    return [layer for layer in module.modules() if isinstance(layer, kind)]


def activities(golden: Golden, x: Array) -> list[float]:
    """The 90th percentile of energy / k at each LRN layer."""
    found: list[float] = []

    def note(layer: nn.LocalResponseNorm, inputs: tuple[torch.Tensor]) -> None:
        spec = LrnSpec(layer.size, layer.alpha, layer.beta, layer.k)
        found.append(float(np.quantile(activity(inputs[0].numpy(), spec), 0.9)))

    layers = of_kind(golden.module, nn.LocalResponseNorm)
    handles = [layer.register_forward_pre_hook(note) for layer in layers]
    golden.logits(x)
    for handle in handles:
        handle.remove()
    return found


def test_logits_are_those_of_the_bundled_topology(golden: Golden) -> None:
    x = golden.pictures()
    assert golden.error(x) <= BUDGET
    first, second = activities(golden, x[:1])
    assert first > 1
    assert second > 0.1


# No larger scale: ONNX Runtime's own LRN loses digits where |x| is large. At 1000 it is 5e-3 off a
# float64 run in AlexNet and gives NaN in ZFNet, where torch is 7e-6 and 9e-6 off.
@pytest.mark.parametrize(("scale", "budget"), [(1e-2, BUDGET), (10, 5 * BUDGET)])
def test_so_they_are_for_small_and_for_large_inputs(
    golden: Golden, scale: float, budget: float
) -> None:
    assert golden.error(golden.pictures()[:1] * np.float32(scale)) <= budget


def test_so_they_are_at_the_size_of_the_bundled_graph(golden: Golden) -> None:
    # At 224 the bundled AlexNet rounds its last pool up, and the bundled GoogLeNet none.
    pools = {
        "alexnet_grouped": lambda found: found[-1:],
        "googlenet": lambda found: found,
        "zfnet": lambda found: found,
    }[golden.case.name](of_kind(golden.module, nn.MaxPool2d))
    with changed(pools, ceil_mode=golden.case.name == "alexnet_grouped"):
        assert golden.error(golden.pictures(224)) <= BUDGET


FAULTS: dict[str, Callable[[nn.LocalResponseNorm], AbstractContextManager[None]]] = {
    "alpha not divided by size": lambda layer: changed([layer], alpha=5 * layer.alpha),
    "alpha divided twice": lambda layer: changed([layer], alpha=layer.alpha / 5),
    "beta": lambda layer: changed([layer], beta=0.5),
    "k": lambda layer: changed([layer], k=3.0 - layer.k),
    "size": lambda layer: changed([layer], size=7),
    "removed": lambda layer: changed([layer], forward=lambda x: x),
}


@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_one_lrn_is_noticed(golden: Golden, fault: str, which: int) -> None:
    layer = of_kind(golden.module, nn.LocalResponseNorm)[which]
    x = golden.pictures()[:1]
    with FAULTS[fault](layer):
        assert golden.error(x) > NOTICED


def test_swapping_norm_and_pool_is_noticed(golden: Golden) -> None:
    blocks = golden.module.stem if golden.case.name == "googlenet" else golden.module
    assert isinstance(blocks, nn.Sequential)
    kinds = [type(layer) for layer in blocks]
    norm, pool = kinds.index(nn.LocalResponseNorm), kinds.index(nn.MaxPool2d)
    try:
        blocks[norm], blocks[pool] = blocks[pool], blocks[norm]
        assert golden.error(golden.pictures()[:1]) > NOTICED
    finally:
        blocks[norm], blocks[pool] = blocks[pool], blocks[norm]
