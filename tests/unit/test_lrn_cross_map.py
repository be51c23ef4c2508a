"""What ``nn.CrossMapLRN2d`` computes, held against PyTorch itself: LRN, but for channel 0."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lrn_deploy.lrn import LrnSpec, activity, reference

SIZES = (1, 2, 3, 4, 5, 8, 9)
CHANNELS = (1, 2, 3, 4, 8, 16)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_the_reference_is_what_pytorch_computes(size: int, channels: int) -> None:
    spec = LrnSpec(size, 1e-2, 0.75, 2.0)
    x = 100 * np.random.default_rng(0).standard_normal((2, channels, 3, 2))
    torchs = nn.CrossMapLRN2d(size, 1e-2, 0.75, 2.0)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(reference(x, spec, "cross-map"), torchs, rtol=1e-12)
    differs = spec.first_difference(channels, "cross-map", "torch")
    plain = reference(x, spec)
    if differs is None:
        np.testing.assert_allclose(plain, torchs, rtol=1e-12)
    else:
        np.testing.assert_allclose(plain[:, :differs], torchs[:, :differs], rtol=1e-12)
        assert (abs(plain[:, differs] / torchs[:, differs] - 1) > 1e-4).any()


@pytest.mark.parametrize(
    ("size", "channels", "first"),
    [(5, 3, None), (5, 4, 3), (5, 96, 3), (1, 1, None), (1, 2, 1), (4, 3, None), (4, 4, 3)],
)
def test_it_is_lrn_where_channel_0_is_in_every_window(
    size: int, channels: int, first: int | None
) -> None:
    assert LrnSpec(size).first_difference(channels, "cross-map", "torch") == first


def test_windows_by_hand() -> None:
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


def test_activity_counts_channel_0() -> None:
    x = np.zeros((1, 8, 1, 1))
    x[0, 0] = 10.0
    spec = LrnSpec(5, 1e-2, 0.75, 2.0)
    assert activity(x, spec, "cross-map")[0, :, 0, 0] == pytest.approx([0.1] * 8)
    assert activity(x, spec)[0, :, 0, 0] == pytest.approx([0.1] * 3 + [0.0] * 5)
