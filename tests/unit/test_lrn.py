from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx.backend.test.case.node import lrn as lrn_cases

from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import (
    LrnSpec,
    activity,
    energy,
    from_caffe,
    from_paper,
    from_tensorflow,
    reference,
)

ALEXNET = LrnSpec(size=5, alpha=1e-4, beta=0.75, k=2.0)

# The article's worked example, printed there to four decimals.
HAND_IN = [
    [
        [[-0.7747, 0.7926], [-0.0062, -0.4377]],
        [[0.4657, -0.1880], [-0.8975, 0.4169]],
        [[-0.3479, -0.4007], [0.8059, -0.1021]],
    ],
    [
        [[-0.3055, -1.7611], [-0.6461, 0.3470]],
        [[0.9144, 1.6259], [-0.6535, -0.0865]],
        [[0.2100, 0.4811], [0.4506, 0.0600]],
    ],
]
HAND_OUT = [
    [
        [[-0.4607, 0.4713], [-0.0037, -0.2603]],
        [[0.2769, -0.1118], [-0.5336, 0.2479]],
        [[-0.2069, -0.2383], [0.4792, -0.0607]],
    ],
    [
        [[-0.1816, -1.0471], [-0.3842, 0.2063]],
        [[0.5437, 0.9667], [-0.3886, -0.0514]],
        [[0.1249, 0.2860], [0.2680, 0.0357]],
    ],
]


def naive(x: np.ndarray, spec: LrnSpec, convention: str) -> np.ndarray:
    """The definition written out with scalars: images, channels, window."""
    images, channels = x.shape[:2]
    flat = x.reshape(images, channels, -1).astype(np.float64)
    result = np.empty_like(flat)
    if convention == "torch":
        left, right = spec.size // 2, (spec.size - 1) // 2
    else:
        left, right = (spec.size - 1) // 2, spec.size // 2
    for n in range(images):
        for c in range(channels):
            for p in range(flat.shape[2]):
                total = 0.0
                for j in range(channels):
                    if c - left <= j <= c + right:
                        total += float(flat[n, j, p]) ** 2
                base = spec.k + spec.alpha * total / spec.size
                result[n, c, p] = flat[n, c, p] / base**spec.beta
    return result.reshape(x.shape)


def test_hand_check_of_the_article() -> None:
    # Inputs were rounded to four decimals as well, so the last digit may differ by one.
    np.testing.assert_allclose(reference(HAND_IN, ALEXNET), HAND_OUT, atol=1e-4, rtol=0)


def test_worked_window_of_the_article() -> None:
    assert list(ALEXNET.window(10, 96)) == [8, 9, 10, 11, 12]


@pytest.mark.parametrize(
    ("size", "convention", "expected"),
    [
        (1, "torch", [4]),
        (1, "onnx", [4]),
        (2, "torch", [3, 4]),
        (2, "onnx", [4, 5]),
        (3, "torch", [3, 4, 5]),
        (3, "onnx", [3, 4, 5]),
        (4, "torch", [2, 3, 4, 5]),
        (4, "onnx", [3, 4, 5, 6]),
        (5, "torch", [2, 3, 4, 5, 6]),
        (5, "onnx", [2, 3, 4, 5, 6]),
        (16, "torch", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_window_of_channel_4_of_9(size: int, convention: Any, expected: list[int]) -> None:
    assert list(LrnSpec(size).window(4, 9, convention)) == expected


@pytest.mark.parametrize(
    ("channel", "expected"), [(0, [0, 1, 2]), (1, [0, 1, 2, 3]), (94, [92, 93, 94, 95])]
)
def test_window_is_cut_at_the_borders(channel: int, expected: list[int]) -> None:
    assert list(ALEXNET.window(channel, 96)) == expected


@pytest.mark.parametrize("channel", [-1, 9])
def test_window_of_a_channel_that_is_not_there_is_refused(channel: int) -> None:
    with pytest.raises(BadInputError, match="not one of the 9"):
        ALEXNET.window(channel, 9)


@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        ((32, 5, 24, 24), LrnSpec(2)),
        ((16, 5, 7, 7, 7, 7), LrnSpec(2)),
        ((32, 96, 55, 55), ALEXNET),
        ((2, 7, 3), LrnSpec(4, alpha=0.5, beta=0.6, k=0.7)),
        ((2, 3, 4, 4), LrnSpec(16, alpha=2.0, beta=1.5, k=1.0)),
    ],
)
def test_documented_shapes_equal_torch(shape: tuple[int, ...], spec: LrnSpec) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator)
    layer = torch.nn.LocalResponseNorm(spec.size, spec.alpha, spec.beta, spec.k)
    np.testing.assert_allclose(reference(x.numpy(), spec), layer(x).numpy(), rtol=2e-6, atol=1e-7)


def test_defaults_are_torchs_own() -> None:
    layer = torch.nn.LocalResponseNorm(3)
    assert LrnSpec(3) == LrnSpec(layer.size, layer.alpha, layer.beta, layer.k)


def test_window_sides_are_those_of_torch_where_they_matter() -> None:
    """One loud channel: the channels that it quiets show the window of every size."""
    for size in range(1, 8):
        spec = LrnSpec(size, alpha=1.0, beta=1.0, k=1.0)
        x = np.ones((1, 9, 1))
        x[0, 4] = 1e6
        expected = torch.nn.LocalResponseNorm(size, 1.0, 1.0, 1.0)(torch.tensor(x)).numpy()
        np.testing.assert_allclose(reference(x, spec), expected, rtol=1e-6)
        quiet = [c for c in range(9) if c != 4 and reference(x, spec)[0, c, 0] < 1e-3]
        assert quiet == [c for c in range(9) if c != 4 and 4 in spec.window(c, 9)]


def test_paper_form_does_not_divide_alpha() -> None:
    # One channel of 3: 3 / (2 + 0.5 * 9) ** 1 = 3 / 6.5.
    spec = from_paper(n=5, alpha=0.5, beta=1.0, k=2.0)
    assert spec == LrnSpec(size=5, alpha=2.5, beta=1.0, k=2.0)
    assert reference([[[3.0]]], spec)[0, 0, 0] == pytest.approx(3 / 6.5, rel=1e-15)


def test_tensorflow_form_takes_a_radius_and_an_undivided_alpha() -> None:
    # Channels 1, 2, 3 with radius 1: the middle one is 2 / sqrt(1 + 1 + 4 + 9) = 2 / sqrt(15).
    spec = from_tensorflow(depth_radius=1)
    assert (spec.size, spec.alpha, spec.beta, spec.k) == (3, 3.0, 0.5, 1.0)
    y = reference([[[1.0], [2.0], [3.0]]], spec)
    assert y[0, 1, 0] == pytest.approx(2 / math.sqrt(15), rel=1e-15)
    assert y[0, 0, 0] == pytest.approx(1 / math.sqrt(6), rel=1e-15)


def test_tensorflow_defaults_are_tensorflows_own() -> None:
    assert from_tensorflow() == LrnSpec(size=11, alpha=11.0, beta=0.5, k=1.0)


def test_negative_tensorflow_radius_is_refused() -> None:
    with pytest.raises(BadInputError, match="-1"):
        from_tensorflow(depth_radius=-1)


def test_caffe_form_divides_alpha() -> None:
    # Channels 3, 4 with local_size 3: the first is 3 / (1 + 6 / 3 * (9 + 16)) = 3 / 51.
    spec = from_caffe(local_size=3, alpha=6.0, beta=1.0)
    assert reference([[[3.0], [4.0]]], spec)[0, 0, 0] == pytest.approx(3 / 51, rel=1e-15)
    assert from_caffe() == LrnSpec(size=5, alpha=1.0, beta=0.75, k=1.0)


def test_caffe_within_channel_is_refused_with_the_reason() -> None:
    with pytest.raises(BadInputError, match="neighbouring pixels of one channel") as caught:
        from_caffe(norm_region="WITHIN_CHANNEL")
    assert "ACROSS_CHANNELS" in caught.value.hint


def test_even_caffe_size_is_refused() -> None:
    with pytest.raises(BadInputError, match="odd local_size only, got 4"):
        from_caffe(local_size=4)


@pytest.mark.parametrize("size", [0, -3, 2.5, True, "5"])
def test_size_that_is_no_count_is_refused(size: Any) -> None:
    with pytest.raises(BadInputError, match="size must be an integer"):
        LrnSpec(size=size)


@pytest.mark.parametrize("name", ["alpha", "beta", "k"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_parameter_that_is_not_finite_is_refused(name: str, value: float) -> None:
    with pytest.raises(BadInputError, match=f"{name} must be a finite number"):
        LrnSpec(size=5, **{name: value})


def test_array_without_channels_and_positions_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"rank 3 or more, got shape \(2, 3\)"):
        reference(np.zeros((2, 3)), ALEXNET)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_non_finite_value_stays_in_its_windows(bad: float) -> None:
    x = np.ones((2, 96, 2, 2), np.float32)
    clean = reference(x, ALEXNET)
    x[1, 40, 0, 1] = bad
    changed = ~np.isclose(reference(x, ALEXNET), clean, rtol=1e-12, atol=0)
    assert {tuple(int(i) for i in place) for place in np.argwhere(changed)} == {
        (1, channel, 0, 1) for channel in (38, 39, 40, 41, 42)
    }


def test_activity_is_the_energy_over_k() -> None:
    # alpha / size * x^2 = 10 / 5 * 9 = 18; over k = 2: 9.
    assert activity([[[3.0]]], LrnSpec(5, alpha=10.0, k=2.0))[0, 0, 0] == 9.0
    assert energy([[[3.0]]], LrnSpec(5, alpha=10.0, k=2.0))[0, 0, 0] == 18.0
    assert np.isinf(activity([[[3.0]]], LrnSpec(5, k=0.0))).all()


@given(
    x=arrays.arrays(
        np.float64,
        arrays.array_shapes(min_dims=3, max_dims=5, max_side=6),
        elements=st.floats(-100, 100),
    ),
    size=st.integers(1, 16),
    alpha=st.floats(1e-6, 10),
    beta=st.floats(0.1, 2),
    k=st.floats(0.1, 10),
    convention=st.sampled_from(["torch", "onnx"]),
)
def test_reference_equals_the_definition_written_out(
    x: np.ndarray, size: int, alpha: float, beta: float, k: float, convention: Any
) -> None:
    spec = LrnSpec(size, alpha, beta, k)
    np.testing.assert_allclose(
        reference(x, spec, convention), naive(x, spec, convention), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("case", ["export", "export_default"])
def test_onnx_own_node_cases(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[dict[str, Any]] = []
    monkeypatch.setattr(
        lrn_cases, "expect", lambda node, **kwargs: recorded.append({"node": node, **kwargs})
    )
    getattr(lrn_cases.LRN, case)()
    (record,) = recorded
    # The defaults are those of the operator's specification, LRN-13.
    attributes = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0} | {
        item.name: onnx.helper.get_attribute_value(item) for item in record["node"].attribute
    }
    spec = LrnSpec(attributes["size"], attributes["alpha"], attributes["beta"], attributes["bias"])
    (x,), (y,) = record["inputs"], record["outputs"]
    assert x.shape == (5, 5, 5, 5)
    np.testing.assert_allclose(reference(x, spec, "onnx"), y, rtol=1e-6, atol=0)


def test_activity_tells_how_far_the_denominator_moves_whatever_the_sign_of_k() -> None:
    # alpha / 1 * 3**2 = 18; the denominator moves from -2 by 18, nine times its size.
    assert activity([[[3.0]]], LrnSpec(1, alpha=2.0, k=-2.0))[0, 0, 0] == 9.0


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 8, 16])
def test_cross_map_is_what_torchs_older_layer_computes(size: int, channels: int) -> None:
    spec = LrnSpec(size, 1e-2, 0.75, 2.0)
    x = 100 * np.random.default_rng(0).standard_normal((2, channels, 3, 2))
    torchs = torch.nn.CrossMapLRN2d(size, 1e-2, 0.75, 2.0)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(reference(x, spec, "cross-map"), torchs, rtol=1e-12)
    differs = spec.first_difference(channels, "cross-map", "torch")
    plain = reference(x, spec)
    if differs is None:
        np.testing.assert_allclose(plain, torchs, rtol=1e-12)
    else:
        np.testing.assert_allclose(plain[:, :differs], torchs[:, :differs], rtol=1e-12)
        assert (abs(plain[:, differs] / torchs[:, differs] - 1) > 1e-4).any()


@pytest.mark.parametrize(
    ("size", "channels", "one", "first"),
    [
        (5, 3, "cross-map", None),
        (5, 4, "cross-map", 3),  # whose window begins at channel 1
        (5, 96, "cross-map", 3),
        (1, 1, "cross-map", None),
        (1, 2, "cross-map", 1),
        (4, 3, "cross-map", None),
        (4, 4, "cross-map", 3),
        (5, 96, "onnx", None),
        (4, 96, "onnx", 0),
        (4, 1, "onnx", None),
    ],
)
def test_the_first_channel_whose_window_is_not_torchs(
    size: int, channels: int, one: Any, first: int | None
) -> None:
    assert LrnSpec(size).first_difference(channels, one, "torch") == first


def test_windows_of_cross_map_by_hand() -> None:
    spec = LrnSpec(5)
    assert [list(spec.window(at, 7, "cross-map")) for at in range(7)] == [
        [0, 1, 2],
        [0, 1, 2, 3],
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3, 4, 5],
        [0, 2, 3, 4, 5, 6],
        [0, 3, 4, 5, 6],
        [0, 4, 5, 6],
    ]


def test_the_activity_of_cross_map_counts_channel_0() -> None:
    x = np.zeros((1, 8, 1, 1))
    x[0, 0] = 10.0
    spec = LrnSpec(5, 1e-2, 0.75, 2.0)
    assert activity(x, spec, "cross-map")[0, :, 0, 0] == pytest.approx([0.1] * 8)
    assert activity(x, spec)[0, :, 0, 0] == pytest.approx([0.1] * 3 + [0.0] * 5)
