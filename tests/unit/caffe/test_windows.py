"""Pooling and LRN as Caffe's loops compute them, in NumPy, ONNX Runtime and OpenVINO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lrn_deploy.caffe import read, to_onnx
from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec, reference
from tests.support.caffe_files import compare, deploy, write

RNG = np.random.default_rng(7)
OTHER = {"other": [np.ones(1, np.float32)]}
Floats = NDArray[np.float64]

# Height and width, kernel, stride, pad: what people's networks have, and every kind of last window.
SHAPES = [
    (6, 3, 2, 0),  # hangs over by one
    (7, 3, 2, 0),  # does not
    (7, 2, 2, 1),  # the last window would begin in the padding: clipped
    (8, 3, 2, 1),
    (7, 3, 2, 1),
    (5, 3, 3, 1),
    (7, 2, 3, 0),  # a stride over a kernel that still ends inside
    (14, 5, 3, 0),
    (6, 3, 1, 1),
    (5, 5, 1, 0),  # the whole plane
    (4, 3, 2, 2),
    (9, 4, 3, 2),
]


def loops(x: NDArray[np.float32], method: str, k: int, s: int, p: int) -> Floats:
    """``pooling_layer.cpp``, written out."""
    n, c, h, w = x.shape
    out = []
    for size in (h, w):
        count = int(np.ceil((size + 2 * p - k) / s)) + 1
        if p and (count - 1) * s >= size + p:
            count -= 1
        out.append(count)
    y = np.zeros((n, c, *out))
    for row in range(out[0]):
        for column in range(out[1]):
            top, left = row * s - p, column * s - p
            bottom, right = min(top + k, h + p), min(left + k, w + p)
            area = (bottom - top) * (right - left)
            window = x[:, :, max(top, 0) : min(bottom, h), max(left, 0) : min(right, w)]
            window = window.astype(np.float64)
            y[:, :, row, column] = (
                window.max((2, 3)) if method == "MAX" else window.sum((2, 3)) / area
            )
    return y


def pooling(size: tuple[int, int], parameters: str) -> str:
    return deploy(
        (2, *size),
        f'layer {{ name: "l" type: "Pooling" bottom: "data" top: "y" '
        f"pooling_param {{ {parameters} }} }}",
    )


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("shape", SHAPES)
def test_pooling_in_both_runtimes(
    tmp_path: Path, method: str, shape: tuple[int, int, int, int]
) -> None:
    size, k, s, p = shape
    x = RNG.normal(1, 1, (2, 2, size, size + 1)).astype(np.float32)
    y = loops(x, method, k, s, p)
    text = pooling(
        (size, size + 1), f"pool: {method} kernel_size: {k} stride: {s}" + (f" pad: {p}" * (p > 0))
    )
    network = compare(tmp_path, text, OTHER, {"data": x}, y)
    compiled = openvino.compile_model(
        openvino.Core().read_model(to_onnx(network).SerializeToString()), "CPU"
    )
    np.testing.assert_allclose(compiled(x)[0], y, rtol=2e-5, atol=2e-5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pools")


@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    k=st.integers(1, 5),
    s=st.integers(1, 4),
    p=st.integers(0, 4),
    method=st.sampled_from(("MAX", "AVE")),
)
@settings(max_examples=40)
def test_any_pooling_is_right_or_refused(
    folder: Path,
    size: tuple[int, int],
    k: int,
    s: int,
    p: int,
    method: str,
) -> None:
    assume(p < k)
    x = RNG.normal(-1, 1, (1, 2, *size)).astype(np.float32)
    text = pooling(size, f"pool: {method} kernel_size: {k} stride: {s} pad: {p}")
    counts = [-(-(n + 2 * p - k) // s) + 1 for n in size]
    clipped = [
        c - 1 if p and (c - 1) * s >= n + p else c for c, n in zip(counts, size, strict=True)
    ]
    if any(c < 1 or (c - 1) * s - p >= n for c, n in zip(clipped, size, strict=True)):
        with pytest.raises(BadInputError, match=r"does not fit|outside the image"):
            read(*write(folder, text, OTHER))
        return
    compare(folder, text, OTHER, {"data": x}, loops(x, method, k, s, p))


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_global_pooling(tmp_path: Path, method: str) -> None:
    x = RNG.normal(0, 1, (2, 2, 5, 4)).astype(np.float32)
    wide = x.astype(np.float64)
    y = wide.max((2, 3), keepdims=True) if method == "MAX" else wide.mean((2, 3), keepdims=True)
    text = pooling((5, 4), f"pool: {method} global_pooling: true")
    compare(tmp_path, text, OTHER, {"data": x}, y)


@pytest.mark.parametrize("floor", ["ceil_mode: false", "round_mode: FLOOR"])
def test_the_forks_floor_is_understood(tmp_path: Path, floor: str) -> None:
    x = RNG.normal(0, 1, (1, 2, 6, 6)).astype(np.float32)
    text = pooling((6, 6), f"pool: MAX kernel_size: 3 stride: 2 {floor}")
    y = loops(x[:, :, :5, :5], "MAX", 3, 2, 0)
    compare(tmp_path, text, OTHER, {"data": x}, y)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("kernel_size: 1 stride: 3", "outside the image"),
        ("kernel_size: 3 pad: 3", "smaller than the kernel"),
        ("kernel_size: 9", "does not fit"),
        ("pool: STOCHASTIC kernel_size: 2", "stochastic"),
        ("global_pooling: true kernel_size: 2", "no kernel size beside it"),
        ("global_pooling: true stride: 2", "pad 0 and stride 1"),
        ("kernel_size: 2 kernel_h: 2 kernel_w: 2", "given beside"),
        ("kernel_h: 2", "needed both"),
        ("", "'kernel_size' is missing"),
    ],
)
def test_poolings_that_have_no_result_are_refused(
    tmp_path: Path, parameters: str, said: str
) -> None:
    with pytest.raises(BadInputError, match=r"deploy\.prototxt:\d+") as caught:
        read(*write(tmp_path, pooling((5, 5), parameters), OTHER))
    assert said in caught.value.message


def lrn(parameters: str, shape: tuple[int, ...] = (6, 5, 4)) -> str:
    return deploy(
        shape,
        f'layer {{\n name: "norm" type: "LRN" bottom: "data" top: "y"\n{parameters} }}',
    )


def within(x: NDArray[np.float32], size: int, alpha: float, beta: float) -> Floats:
    """The four layers that Caffe makes of it: square, average with padding, power, product."""
    squares = x.astype(np.float64) ** 2
    half = size // 2
    wide = np.pad(squares, [(0, 0), (0, 0), (half, half), (half, half)])
    mean = np.zeros_like(squares)
    for row in range(size):
        for column in range(size):
            mean += wide[:, :, row : row + x.shape[2], column : column + x.shape[3]]
    return np.asarray(x * (1 + alpha * mean / size**2) ** -beta)


@pytest.mark.parametrize(
    ("parameters", "spec"),
    [
        ("lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 k: 2 }", LrnSpec(3, 0.5, 0.6, 2.0)),
        ("lrn_param { alpha: 5e-4 k: 2 }", LrnSpec(5, 5e-4, 0.75, 2.0)),
        ("lrn_param { local_size: 1 }", LrnSpec(1, 1.0, 0.75, 1.0)),
        ("lrn_param { local_size: 9 norm_region: ACROSS_CHANNELS }", LrnSpec(9, 1.0, 0.75, 1.0)),
        ("", LrnSpec(5, 1.0, 0.75, 1.0)),
    ],
)
def test_lrn_across_channels_with_caffe_s_defaults(
    tmp_path: Path, parameters: str, spec: LrnSpec
) -> None:
    x = RNG.normal(0, 3, (2, 6, 5, 4)).astype(np.float32)
    network = compare(tmp_path, lrn(parameters), OTHER, {"data": x}, reference(x, spec))
    ((_, own),) = network.lrns
    assert own.spec == spec
    assert own.divisor == spec.size
    (node,) = to_onnx(network).graph.node
    assert node.op_type == "LRN"


@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize("k", ["", "k: 7"])
def test_lrn_within_a_channel_has_the_constant_1_whatever_k_says(
    tmp_path: Path, size: int, k: str
) -> None:
    x = RNG.normal(0, 3, (2, 3, 5, 4)).astype(np.float32)
    y = within(x, size, 2.0, 0.6)
    text = lrn(
        f"lrn_param {{ norm_region: WITHIN_CHANNEL local_size: {size} alpha: 2 beta: 0.6 {k} }}",
        (3, 5, 4),
    )
    network = compare(tmp_path, text, OTHER, {"data": x}, y)
    ((_, own),) = network.lrns
    assert (own.spec, own.divisor, own.k) == (None, size**2, 1.0)
    if k:
        assert "gives 7" in own.origins["k"]


def test_a_wrong_window_or_alpha_would_be_seen(tmp_path: Path) -> None:
    x = RNG.normal(0, 3, (2, 6, 5, 4)).astype(np.float32)
    text = lrn("lrn_param { local_size: 3 alpha: 0.5 k: 2 }")
    for wrong in (LrnSpec(5, 0.5, 0.75, 2), LrnSpec(3, 1.5, 0.75, 2), LrnSpec(3, 0.5, 0.75, 1)):
        with pytest.raises(AssertionError):
            compare(tmp_path, text, OTHER, {"data": x}, reference(x, wrong))


def test_each_parameter_s_origin_is_told(tmp_path: Path) -> None:
    text = lrn("lrn_param {\n local_size: 3\n alpha: 0.1 }")
    ((layer, own),) = read(*write(tmp_path, text, OTHER)).lrns
    assert (str(layer.place), own.origins) == (
        f"{tmp_path}/deploy.prototxt:2",
        {
            "region": "Caffe's default",
            "size": "deploy.prototxt:5",
            "alpha": "deploy.prototxt:6",
            "beta": "Caffe's default",
            "k": "Caffe's default",
        },
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lrn("lrn_param { local_size: 4 }"), "odd local_size only"),
        (lrn("lrn_param { local_size: 0 }"), "odd local_size only"),
        (lrn("", (6,)), "takes N x C x H x W"),
    ],
)
def test_an_lrn_that_caffe_refuses_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInputError, match=r"deploy\.prototxt:\d+") as caught:
        read(*write(tmp_path, text, OTHER))
    assert said in caught.value.message
