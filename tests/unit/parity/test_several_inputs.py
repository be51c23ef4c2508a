"""Inputs for checks of networks that take several, integers among them."""

from __future__ import annotations

import numpy as np
import pytest

from lrn_deploy.bundle import IntegerValues, TensorSpec
from lrn_deploy.parity import inputs
from lrn_deploy.parity.inputs import InputSet

IMAGE = TensorSpec(name="image", dtype="float32", shape=("batch", 3, 4, 4))
TOKENS = TensorSpec(
    name="tokens",
    dtype="int64",
    shape=("batch", 50),
    values=IntegerValues(low=3, high=9, source="table"),
)
MASK = TensorSpec(name="mask", dtype="bool", shape=("batch", 2))


def test_random_integers_keep_to_their_range_and_reach_its_ends() -> None:
    feeds = inputs.random_set([IMAGE, TOKENS, MASK], None, 8).feeds
    assert [feeds[name].dtype.name for name in feeds] == ["float32", "int64", "bool"]
    assert (feeds["tokens"].min(), feeds["tokens"].max()) == (3, 9)
    assert {len(values) for values in feeds.values()} == {8}


def test_each_input_has_its_extremes_in_equally_many_rows() -> None:
    made = inputs.extreme_set([IMAGE, TOKENS, MASK], None)
    assert {len(values) for values in made.feeds.values()} == {made.rows}
    assert made.feeds["tokens"][:, 0].tolist() == [3, 9, 3, 9, 3, 9, 3]
    assert made.feeds["mask"][:3, 0].tolist() == [False, True, False]
    alone = inputs.extreme_set([IMAGE], None).feeds["image"]
    np.testing.assert_array_equal(made.feeds["image"], alone)


def test_only_floats_are_scaled() -> None:
    base = InputSet("random", {"x": np.ones((2, 3), np.float32), "n": np.array([3, 4])}, "")
    scaled = inputs.scaled_set(base, 10.0).feeds
    assert scaled["x"].tolist() == [[10.0] * 3] * 2
    assert scaled["n"].tolist() == [3, 4]


@pytest.mark.parametrize(("specs", "can"), [([IMAGE, TOKENS], True), ([TOKENS, MASK], False)])
def test_what_has_a_float_can_be_scaled(specs: list[TensorSpec], can: bool) -> None:
    assert inputs.scalable(specs) is can
