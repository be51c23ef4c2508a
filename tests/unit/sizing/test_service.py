"""How long batches take: measured times, the lines between them, and what the server adds."""

from __future__ import annotations

import numpy as np
import pytest

from lrn_deploy.sizing.service import ATOMS, Curve, Overhead, service_times

CURVE = Curve(
    "model", "cpu", 1, {1: np.full(5, 0.010), 4: np.full(3, 0.022), 8: np.array([0.040, 0.048])}
)


def test_between_two_sizes_is_the_line() -> None:
    assert CURVE.times(1) == pytest.approx(np.full(ATOMS, 0.010))
    assert CURVE.times(2) == pytest.approx(np.full(ATOMS, 0.014))  # 10 + (22 - 10) / 3
    assert CURVE.times(8).mean() == pytest.approx(0.044)
    assert CURVE.times(6) == pytest.approx([0.031] * (ATOMS // 2) + [0.035] * (ATOMS // 2))


@pytest.mark.parametrize("images", [0, 9])
def test_beyond_what_was_measured_nothing_is_guessed(images: int) -> None:
    with pytest.raises(ValueError, match="1 to 8 were measured"):
        CURVE.times(images)


@pytest.mark.parametrize("count", [3, 32, 100, 1001])
def test_the_times_that_stand_for_the_samples_have_their_mean(count: int) -> None:
    samples = np.random.default_rng(0).exponential(0.01, count)
    times = Curve("model", "cpu", 1, {1: samples}).times(1)
    assert times.mean() == pytest.approx(samples.mean())
    assert samples.min() <= times[0] * (1 + 1e-9)
    assert times[-1] <= samples.max() * (1 + 1e-9)
    assert (np.diff(times) >= -1e-15).all()


def test_the_server_adds_to_each_request_and_to_each_batch() -> None:
    own = Overhead(per_request=1e-4, per_byte=1e-9, per_batch=3e-4)
    each = own.of_request(1_000_000)
    assert each == pytest.approx(1.1e-3)
    times = service_times(CURVE, 1, 4, each, own.per_batch)
    assert times.shape == (4, 32)
    assert times[:, 0] == pytest.approx([0.0114, 0.0165, 0.0216, 0.0267])


def test_requests_of_several_images_are_not_split() -> None:
    times = service_times(CURVE, 3, 8, 0.0, 0.0)
    assert times.mean(axis=1) == pytest.approx([0.018, 0.033])  # 3 and 6 images; 9 are too many
    assert service_times(CURVE, 8, 4, 0.0, 0.0).mean(axis=1) == pytest.approx([0.044])
