from __future__ import annotations

import numpy as np
import pytest

from lrn_deploy.lrn import LrnSpec
from lrn_deploy.parity.activity import (
    Scale,
    active_warning,
    choose_scales,
    layer_activity,
    layer_labels,
    ordinary_warning,
    searched_enough,
)

ALEXNET = LrnSpec(5, 1e-4, 0.75, 2.0)


def test_activity_of_a_constant_input() -> None:
    # Inner channels sum five squares of 100: alpha/5 * 5e4 = 1, half of k = 2.
    assert layer_activity(np.full((1, 100, 2, 2), 100.0), ALEXNET) == pytest.approx(0.5)


def test_activity_grows_with_the_square() -> None:
    x = np.random.default_rng(0).standard_normal((2, 16, 3, 3))
    assert layer_activity(10 * x, ALEXNET) == pytest.approx(100 * layer_activity(x, ALEXNET))


def test_activity_of_an_overflow_is_none() -> None:
    assert layer_activity(np.full((1, 4, 2), np.nan), ALEXNET) == 0


def test_the_smallest_scale_that_makes_a_layer_active() -> None:
    measured = {1.0: (0.01, 0.2), 10.0: (1.5, 0.9), 100.0: (150.0, 0.3)}
    assert choose_scales(["a", "b"], measured) == (Scale("a", 10.0, 1.5), Scale("b", 10.0, 0.9))


def test_layers_may_want_different_scales() -> None:
    measured = {1.0: (0.01, 1.2), 10.0: (0.9, 0.1), 100.0: (90.0, 0.01)}
    assert [scale.factor for scale in choose_scales(["a", "b"], measured)] == [100.0, 1.0]


def test_warns_of_layers_that_no_ordinary_set_reaches() -> None:
    activities = {
        "photographs": {"a": 1e-4, "b": 1e-4},
        "random": {"a": 2e-4, "b": 0.5},
        "active-x100": {"a": 3.0, "b": 3.0},
    }
    warning = ordinary_warning(activities, ["photographs", "random"])
    assert "wrong alpha" in warning
    assert "a (activity 2.0e-04)" in warning
    assert "b (" not in warning
    assert ordinary_warning(activities, ["active-x100"]) == ""
    assert ordinary_warning({"random": {}}, ["random"]) == ""


def test_warns_of_layers_that_no_scale_reaches() -> None:
    scales = [Scale("a", 10.0, 0.05), Scale("b", 10.0, 0.6)]
    assert "a (activity 5.0e-02)" in active_warning(scales)
    assert "b (" not in active_warning(scales)
    assert active_warning(scales[1:]) == ""


def test_layers_of_one_name_are_told_apart() -> None:
    assert layer_labels(["norm", "stem.2", "norm"]) == ("norm #1", "stem.2", "norm #2")


@pytest.mark.parametrize(
    ("measured", "enough"),
    [
        ([(0.1, 0.1)], False),
        ([(1.2, 0.1)], False),
        ([(1.2, 0.1), (12.0, 1.0)], True),
        ([(1.2, 0.6), (12.0, 0.5)], False),  # the second may rise again
        ([(1.2, 0.6), (12.0, 0.2)], True),  # it will not: it has saturated
        ([(1.2, 1.1), (0.1, 0.1)], True),
    ],
)
def test_the_search_ends_when_larger_inputs_bring_nothing(
    measured: list[tuple[float, ...]], enough: bool
) -> None:
    assert searched_enough(measured) is enough


def test_a_few_loud_positions_make_no_layer_active() -> None:
    # Of 100 positions 5 have an energy of 1e-4 / 1 * 1e4**2 = 1e4, half of that over k.
    x = np.zeros((1, 1, 100))
    x[..., :5] = 1e4
    assert layer_activity(x, LrnSpec(1, 1e-4, 0.75, 2.0)) == 0
    x[..., :15] = 1e4
    assert layer_activity(x, LrnSpec(1, 1e-4, 0.75, 2.0)) == pytest.approx(5e3)


def test_an_activity_of_half_a_percent_would_not_be_noticed_and_of_two_would() -> None:
    assert "a (activity 5.0e-03)" in ordinary_warning({"images": {"a": 0.005}}, ["images"])
    assert ordinary_warning({"images": {"a": 0.02}}, ["images"]) == ""
