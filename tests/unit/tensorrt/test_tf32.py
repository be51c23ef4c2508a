"""How TF32 is told from fp32 by what a GPU computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from lrn_deploy.errors import DamagedError
from lrn_deploy.tensorrt import tf32
from lrn_deploy.tensorrt.build import BuildRequest, BuiltEngine, build_engine
from lrn_deploy.tensorrt.flavor import Flavor
from lrn_deploy.tensorrt.tf32 import LARGEST_FP32_ERROR, product_error, rounds_to_tf32
from tests.support.fake_gpu import DEVICE, Arrays, FakeGpu
from tests.unit.tensorrt.sessions import use

Floats = np.ndarray[Any, np.dtype[np.float32]]

CHANNELS, SIDE = 64, 8
TENSORS = (
    ("x", True, np.float32, (1, CHANNELS, SIDE, SIDE)),
    ("y", False, np.float32, (1, CHANNELS, SIDE - 2, SIDE - 2)),
)


def to_tf32(x: Floats) -> Floats:
    """The nearest values with 10 of the 23 bits of the mantissa; halves go away from zero."""
    bits = x.view(np.uint32) + np.uint32(1 << 12)
    return (bits & np.uint32(0xFFFFE000)).view(np.float32)


def convolve(x: Floats, weights: Floats, dtype: torch.dtype = torch.float32) -> Any:
    return torch.nn.functional.conv2d(
        torch.tensor(x, dtype=dtype), torch.tensor(weights, dtype=dtype)
    ).numpy()


def operands(seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1, CHANNELS, SIDE, SIDE)).astype(np.float32)
    return x, rng.normal(size=(CHANNELS, CHANNELS, 3, 3)).astype(np.float32)


def test_rounding_to_tf32_keeps_10_bits() -> None:
    step = 2.0**-10
    values = np.array([1, 1 + step, 1 + 0.4 * step, 1 + 0.6 * step, -3 - 1.2 * step], np.float32)
    expected = [1, 1 + step, 1, 1 + step, -3 - 2 * step]  # at 3 the step is twice as large
    np.testing.assert_array_equal(to_tf32(values), np.array(expected, np.float32))


def test_the_error_is_that_of_a_convolution_in_float64() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1, 3, 5, 7)).astype(np.float32)
    weights = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    truth = convolve(x, weights, torch.float64)
    y = truth.astype(np.float32) + rng.normal(size=truth.shape).astype(np.float32) / 100
    expected = np.linalg.norm(y - truth) / np.linalg.norm(truth)
    assert product_error(y, x, weights) == pytest.approx(expected, rel=1e-12)
    assert product_error(0 * y, x, weights) == 1


@pytest.mark.parametrize("seed", range(5))
def test_tf32_lies_far_above_the_limit_and_fp32_far_below(seed: int) -> None:
    x, weights = operands(seed)
    assert product_error(convolve(x, weights), x, weights) < LARGEST_FP32_ERROR / 20
    rounded = convolve(to_tf32(x), to_tf32(weights), torch.float64).astype(np.float32)
    assert product_error(rounded, x, weights) > LARGEST_FP32_ERROR * 10


def engine_of(
    monkeypatch: pytest.MonkeyPatch, *, rounded: bool
) -> tuple[FakeGpu, list[BuildRequest]]:
    """A GPU whose builder makes an engine of the one convolution that it is given."""
    weights: list[Floats] = []
    asked: list[BuildRequest] = []

    def build(flavor: str, graph: bytes, request: BuildRequest) -> BuiltEngine:
        assert flavor == "rtx"
        (initializer,) = onnx.load_from_string(graph).graph.initializer
        weights.append(numpy_helper.to_array(initializer))
        asked.append(request)
        return BuiltEngine(b"plan", (), (), {}, None, 0.0, None)

    def run(feeds: Arrays) -> Arrays:
        x, w = feeds["x"].copy(), weights[0].copy()
        return {"y": convolve(to_tf32(x), to_tf32(w)) if rounded else convolve(x, w)}

    monkeypatch.setattr(tf32, "build_in_process", build)
    gpu = FakeGpu(captures_graphs=True, network=run, tensors=TENSORS)
    return use(gpu, monkeypatch), asked


@pytest.mark.parametrize("rounded", [False, True])
def test_a_gpu_that_rounds_is_found_out(monkeypatch: pytest.MonkeyPatch, rounded: bool) -> None:
    gpu, (*_,) = engine_of(monkeypatch, rounded=rounded)
    assert rounds_to_tf32(gpu, DEVICE) is rounded  # type: ignore[arg-type]
    assert not gpu.cuda.memory, "nothing is left on the GPU"


def test_fp32_is_what_is_asked_for_and_for_the_gpu_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu, asked = engine_of(monkeypatch, rounded=False)
    rounds_to_tf32(gpu, DEVICE)  # type: ignore[arg-type]
    assert [(request.targets, request.tf32) for request in asked] == [(("current",), False)]


def test_an_engine_that_cannot_run_is_an_error_and_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu, _ = engine_of(monkeypatch, rounded=False)
    gpu.refusal = "The engine cannot run on this GPU."
    with pytest.raises(DamagedError, match="refuses the engine 'TF32 probe'"):
        rounds_to_tf32(gpu, DEVICE)  # type: ignore[arg-type]


@pytest.mark.tensorrt
def test_tensorrt_builds_what_is_run(rtx: Flavor) -> None:
    """For a GPU that is named; ``current`` would need one."""
    _, weights = operands(0)
    request = BuildRequest(targets=("sm89",), batch=(1, 1, 1))
    built = build_engine(rtx, tf32._graph(weights), request)
    assert [layer.type for layer in built.layers if layer.type != "CONSTANT"] == ["CONVOLUTION"]
