"""Each layer computes what Caffe's does: float64 PyTorch, written by hand, says what that is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from tests.support.caffe_files import compare, deploy
from tests.support.caffe_layers import both, one

RNG = np.random.default_rng(19)
X = RNG.normal(0, 2, (2, 4, 7, 6)).astype(np.float32)
T = torch.from_numpy(X).double()


OTHER = {"other": [np.ones(1, np.float32)]}
"""A caffemodel must have something in it."""


def weights(*shape: int) -> NDArray[np.float32]:
    return RNG.normal(0, 1, shape).astype(np.float32)


def double(array: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(array).double()


@pytest.mark.parametrize(
    ("parameters", "shape", "arguments"),
    [
        ("kernel_size: 3", (6, 4, 3, 3), {}),
        ("kernel_size: 3 stride: 2 pad: 1 bias_term: false", (6, 4, 3, 3),
         {"stride": 2, "padding": 1}),
        ("kernel_size: 3 kernel_size: 2 stride: [1, 2] pad: [2, 0]", (6, 4, 3, 2),
         {"stride": (1, 2), "padding": (2, 0)}),
        ("kernel_h: 2 kernel_w: 3 pad_h: 1 pad_w: 2 stride_h: 2 stride_w: 1", (6, 4, 2, 3),
         {"stride": (2, 1), "padding": (1, 2)}),
        ("kernel_h: 1 kernel_w: 3 pad_w: 1", (6, 4, 1, 3), {"padding": (0, 1)}),
        ("kernel_size: 2 dilation: 3 group: 2", (6, 2, 2, 2), {"dilation": 3, "groups": 2}),
    ],
)  # fmt: skip
def test_convolution(
    tmp_path: Path, parameters: str, shape: tuple[int, ...], arguments: dict[str, object]
) -> None:
    bias = "bias_term: false" not in parameters
    blobs = [weights(*shape), weights(6)][: 1 + bias]
    y = functional.conv2d(T, *map(double, blobs), **arguments)  # type: ignore[arg-type]
    text = one("Convolution", f"convolution_param {{ num_output: 6 {parameters} }}")
    compare(tmp_path, text, {"l": blobs}, {"data": X}, y.numpy())


def test_convolution_over_three_spatial_axes(tmp_path: Path) -> None:
    x = weights(2, 2, 5, 4, 3)
    blobs = [weights(3, 2, 2, 2, 2), weights(3)]
    text = deploy(
        (2, 5, 4, 3),
        'layer { name: "l" type: "Convolution" bottom: "data" top: "y" convolution_param '
        "{ num_output: 3 kernel_size: 2 } }",
    )
    y = functional.conv3d(double(x), *map(double, blobs))
    compare(tmp_path, text, {"l": blobs}, {"data": x}, y.numpy())


@pytest.mark.parametrize(
    ("parameters", "shape", "arguments"),
    [
        ("kernel_size: 3 stride: 2 pad: 1", (4, 6, 3, 3), {"stride": 2, "padding": 1}),
        ("kernel_size: 4 stride: 2 group: 2", (4, 3, 4, 4), {"stride": 2, "groups": 2}),
        ("kernel_size: 2 dilation: 2", (4, 6, 2, 2), {"dilation": 2}),
    ],
)
def test_deconvolution(
    tmp_path: Path, parameters: str, shape: tuple[int, ...], arguments: dict[str, int]
) -> None:
    blobs = [weights(*shape), weights(6)]
    y = functional.conv_transpose2d(T, *map(double, blobs), **arguments)
    text = one("Deconvolution", f"convolution_param {{ num_output: 6 {parameters} }}")
    compare(tmp_path, text, {"l": blobs}, {"data": X}, y.numpy())


@pytest.mark.parametrize("axis", [1, 2, -1, -3])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_inner_product(tmp_path: Path, axis: int, transpose: bool, bias: bool) -> None:
    inner = int(np.prod(X.shape[axis:]))
    blobs = [weights(inner, 5) if transpose else weights(5, inner), weights(5)][: 1 + bias]
    matrix = double(blobs[0]) if transpose else double(blobs[0]).T
    y = T.reshape(*T.shape[: axis % 4], inner) @ matrix
    if bias:
        y = y + double(blobs[1])
    words = {False: "false", True: "true"}
    text = one(
        "InnerProduct",
        f"inner_product_param {{ num_output: 5 axis: {axis} transpose: {words[transpose]} "
        f"bias_term: {words[bias]} }}",
    )
    compare(tmp_path, text, {"l": blobs}, {"data": X}, y.numpy())


@pytest.mark.parametrize(
    ("kind", "parameters", "function"),
    [
        ("ReLU", "", functional.relu),
        ("ReLU", "relu_param { negative_slope: 0.1 }", lambda t: functional.leaky_relu(t, 0.1)),
        ("Sigmoid", "", torch.sigmoid),
        ("TanH", "", torch.tanh),
        ("AbsVal", "", torch.abs),
        ("BNLL", "", functional.softplus),
        ("ELU", "elu_param { alpha: 0.5 }", lambda t: functional.elu(t, 0.5)),
        ("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }", lambda t: 2 ** (1 + 0.5 * t)),
        ("Exp", "", torch.exp),
        ("Log", "log_param { base: 10 scale: 0.01 shift: 3 }", lambda t: (3 + 0.01 * t).log10()),
        ("Power", "power_param { power: 2 scale: 2 shift: 1 }", lambda t: (1 + 2 * t) ** 2),
        ("Power", "power_param { power: -0.5 scale: 0.01 shift: 2 }",
         lambda t: (2 + 0.01 * t) ** -0.5),
        ("Power", "power_param { shift: 1 }", lambda t: t + 1),
        ("Power", "", lambda t: t),
        ("Threshold", "threshold_param { threshold: 0.5 }", lambda t: (t > 0.5).double()),
        ("Clip", "clip_param { min: -1 max: 0.5 }", lambda t: t.clamp(-1, 0.5)),
        ("Swish", "swish_param { beta: 2 }", lambda t: t * torch.sigmoid(2 * t)),
        ("Dropout", "dropout_param { dropout_ratio: 0.9 }", lambda t: t),
        ("Split", "", lambda t: t),
        ("Softmax", "", lambda t: t.softmax(1)),
        ("Softmax", "softmax_param { axis: -1 }", lambda t: t.softmax(3)),
        ("Softmax", "softmax_param { axis: 2 }", lambda t: t.softmax(2)),
        ("Flatten", "", lambda t: t.flatten(1)),
        ("Flatten", "flatten_param { axis: 2 end_axis: -1 }", lambda t: t.flatten(2)),
        ("Flatten", "flatten_param { axis: -3 end_axis: 2 }", lambda t: t.flatten(1, 2)),
        ("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 12 } }",
         lambda t: t.reshape(2, 14, 12)),
        ("Reshape", "reshape_param { shape { dim: 2 dim: -1 } axis: 1 num_axes: 1 }",
         lambda t: t.reshape(2, 2, 2, 7, 6)),
        ("Reshape", "reshape_param { shape { dim: 1 dim: -1 } axis: -2 }",
         lambda t: t.reshape(2, 4, 7, 1, 6)),
        ("Reshape", "reshape_param { shape { dim: 1 } axis: 1 num_axes: 0 }",
         lambda t: t.reshape(2, 1, 4, 7, 6)),
        ("Tile", "tile_param { axis: 1 tiles: 3 }", lambda t: t.repeat(1, 3, 1, 1)),
        ("Tile", "tile_param { axis: -1 tiles: 2 }", lambda t: t.repeat(1, 1, 1, 2)),
        ("Reduction", "reduction_param { axis: 1 }", lambda t: t.sum((1, 2, 3))),
        ("Reduction", "reduction_param { axis: 2 operation: MEAN coeff: 3 }",
         lambda t: 3 * t.mean((2, 3))),
        ("Reduction", "reduction_param { axis: -1 operation: ASUM }", lambda t: t.abs().sum(3)),
        ("Reduction", "reduction_param { axis: 2 operation: SUMSQ }",
         lambda t: t.square().sum((2, 3))),
    ],
)  # fmt: skip
def test_layers_without_weights(
    tmp_path: Path, kind: str, parameters: str, function: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    expected = function(T)
    compare(tmp_path, one(kind, parameters), OTHER, {"data": X}, expected.numpy())


@pytest.mark.parametrize(
    ("kind", "parameters", "function"),
    [
        ("Eltwise", "", lambda a, b: a + b),
        ("Eltwise", "eltwise_param { coeff: 2 coeff: -1 }", lambda a, b: 2 * a - b),
        ("Eltwise", "eltwise_param { operation: PROD }", lambda a, b: a * b),
        ("Eltwise", "eltwise_param { operation: MAX }", torch.maximum),
        ("Concat", "", lambda a, b: torch.cat((a, b), 1)),
        ("Concat", "concat_param { axis: -1 }", lambda a, b: torch.cat((a, b), 3)),
        ("Concat", "concat_param { concat_dim: 2 }", lambda a, b: torch.cat((a, b), 2)),
        ("Scale", "scale_param { axis: 0 }", lambda a, b: a * b),
        ("Bias", "bias_param { axis: 0 }", lambda a, b: a + b),
        ("Crop", "", lambda a, _: a),
    ],
)
def test_layers_with_two_bottoms(
    tmp_path: Path, kind: str, parameters: str, function: Callable[..., torch.Tensor]
) -> None:
    y = function(T, -2 * T)
    compare(tmp_path, both(kind, parameters), OTHER, {"data": X}, y.numpy())


def test_scale_by_one_number_a_channel_of_each_image(tmp_path: Path) -> None:
    pool = (
        'layer { name: "p" type: "Reduction" bottom: "data" top: "s" '
        "reduction_param { operation: MEAN axis: 2 } }"
    )
    text = deploy(
        (4, 7, 6),
        f'{pool} layer {{ name: "l" type: "Scale" bottom: "data" bottom: "s" top: "y" '
        "scale_param { axis: 0 } }",
    )
    y = T * T.mean((2, 3), keepdim=True)
    compare(tmp_path, text, OTHER, {"data": X}, y.numpy())


@pytest.mark.parametrize(
    ("parameters", "shape", "along"),
    [
        ("", (4,), (4, 1, 1)),
        ("axis: -1", (6,), (6,)),
        ("axis: 1 num_axes: 2", (4, 7), (4, 7, 1)),
        ("axis: 2 num_axes: -1", (7, 6), (7, 6)),
        ("num_axes: 0", (), ()),
        ("axis: 0 num_axes: 0", (), ()),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_scale_and_bias(
    tmp_path: Path, parameters: str, shape: tuple[int, ...], along: tuple[int, ...], bias: bool
) -> None:
    blobs = [weights(*shape), weights(*shape)]
    factor, shift = (double(blob).reshape(along) for blob in blobs)
    more = "bias_term: true" if bias else ""
    text = one("Scale", f"scale_param {{ {parameters} {more} }}")
    y = T * factor + shift if bias else T * factor
    compare(tmp_path, text, {"l": blobs[: 1 + bias]}, {"data": X}, y.numpy())
    text = one("Bias", f"bias_param {{ {parameters} }}")
    compare(tmp_path, text, {"l": blobs[1:]}, {"data": X}, (T + shift).numpy())


@pytest.mark.parametrize("count", [0.0, 1.0, 999.98])
@pytest.mark.parametrize("parameters", ["", "batch_norm_param { use_global_stats: true eps: 0.1 }"])
def test_batch_norm_divides_its_sums(tmp_path: Path, count: float, parameters: str) -> None:
    mean, variance = weights(4), np.square(weights(4)) + 1
    blobs = [mean * np.float32(count), variance * np.float32(count), np.array([count], np.float32)]
    factor = 1 / double(blobs[2]) if count else torch.zeros(1).double()
    eps = 0.1 if parameters else 1e-5
    y = functional.batch_norm(T, double(blobs[0]) * factor, double(blobs[1]) * factor, eps=eps)
    text = one("BatchNorm", parameters)
    compare(tmp_path, text, {"l": blobs}, {"data": X}, y.numpy())


def test_batch_norm_and_scale_of_vectors(tmp_path: Path) -> None:
    x = weights(3, 5)
    blobs = {"l": [weights(5), np.square(weights(5)), np.ones(1, np.float32)], "s": [weights(5)]}
    text = deploy(
        (5,),
        'layer { name: "l" type: "BatchNorm" bottom: "data" top: "y" } '
        'layer { name: "s" type: "Scale" bottom: "y" top: "y" }',
    )
    y = functional.batch_norm(double(x), double(blobs["l"][0]), double(blobs["l"][1]))
    compare(tmp_path, text, blobs, {"data": x}, (y * double(blobs["s"][0])).numpy())


@pytest.mark.parametrize("shared", [False, True])
def test_prelu(tmp_path: Path, shared: bool) -> None:
    slope = weights() if shared else weights(4)
    text = one("PReLU", "prelu_param { channel_shared: true }" if shared else "")
    y = functional.prelu(T, double(slope).reshape(-1))
    compare(tmp_path, text, {"l": [slope]}, {"data": X}, y.numpy())


@pytest.mark.parametrize(
    ("parameters", "cuts", "axis"),
    [
        ("slice_param { slice_point: 1 slice_point: 3 }", (1, 2, 1), 1),
        ("slice_param { axis: -1 }", (2, 2, 2), 3),
        ("slice_param { slice_dim: 2 slice_point: 2 slice_point: 3 }", (2, 1, 4), 2),
    ],
)
def test_slice(tmp_path: Path, parameters: str, cuts: tuple[int, ...], axis: int) -> None:
    parts = T.split(cuts, axis)
    for index, part in enumerate(parts):
        rest = [f"t{place}" for place in range(3) if place != index]
        silence = 'layer { name: "s" type: "Silence" ' + " ".join(
            f'bottom: "{top}"' for top in rest
        )
        text = one("Slice", parameters, 'top: "t0" top: "t1" top: "t2"') + silence + " }"
        compare(tmp_path, text, OTHER, {"data": X}, part.numpy())


def test_crop_takes_the_second_bottom_s_size_at_offsets(tmp_path: Path) -> None:
    pool = (
        'layer { name: "p" type: "Pooling" bottom: "data" top: "small" '
        "pooling_param { kernel_size: 3 } }"
    )
    for parameters, cut in (
        ("", T[:, :, :5, :4]),
        ("crop_param { offset: 2 }", T[:, :, 2:, 2:]),
        ("crop_param { axis: -2 offset: 1 offset: 2 }", T[:, :, 1:6, 2:]),
        ("crop_param { axis: 3 }", None),
    ):
        text = deploy(
            (4, 7, 6),
            f'{pool} layer {{ name: "l" type: "Crop" bottom: "data" bottom: "small" top: "y" '
            f"{parameters} }}",
        )
        y = cut if cut is not None else T[:, :, :, :4]
        compare(tmp_path, text, OTHER, {"data": X}, y.numpy())


@pytest.mark.parametrize("top", [1, 3])
@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("axis", [None, 1, -1])
def test_arg_max_takes_the_last_of_equal_values(
    tmp_path: Path, top: int, values: bool, axis: int | None
) -> None:
    x = RNG.integers(0, 4, X.shape).astype(np.float32)  # full of equal values
    words = f"top_k: {top}" + (" out_max_val: true" if values else "")
    words += f" axis: {axis}" if axis is not None else ""
    rows = np.moveaxis(x, axis, -1) if axis is not None else x.reshape(2, -1)
    pairs = [
        sorted(((value, place) for place, value in enumerate(row)), reverse=True)[:top]
        for row in rows.reshape(-1, rows.shape[-1])
    ]
    best = np.array([[value for value, _ in row] for row in pairs])
    where = np.array([[place for _, place in row] for row in pairs], np.float64)
    if axis is None:
        y = np.stack((where, best), 1) if values else where[:, None]
        y = y[..., None]
    else:
        y = (best if values else where).reshape(*rows.shape[:-1], top)
        y = np.moveaxis(y, -1, axis)
    compare(tmp_path, one("ArgMax", f"argmax_param {{ {words} }}"), OTHER, {"data": x}, y)


@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    pad=st.integers(0, 2),
    dilation=st.integers(1, 2),
    group=st.sampled_from((1, 2, 4)),
)
@settings(max_examples=25)
def test_any_convolution(
    tmp_path_factory: pytest.TempPathFactory,
    kernel: tuple[int, int],
    stride: int,
    pad: int,
    dilation: int,
    group: int,
) -> None:
    blobs = [weights(4, 4 // group, *kernel), weights(4)]
    y = functional.conv2d(T, *map(double, blobs), stride, pad, dilation, group)
    text = one(
        "Convolution",
        f"convolution_param {{ num_output: 4 kernel_h: {kernel[0]} kernel_w: {kernel[1]} "
        f"stride: {stride} pad: {pad} dilation: {dilation} group: {group} }}",
    )
    compare(tmp_path_factory.mktemp("conv"), text, {"l": blobs}, {"data": X}, y.numpy())
