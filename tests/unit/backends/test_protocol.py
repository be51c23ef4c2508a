"""What every session refuses to be fed."""

from __future__ import annotations

import numpy as np
import pytest

from lrn_deploy.backends.protocol import check_feeds
from lrn_deploy.bundle import TensorSpec
from lrn_deploy.errors import BadInputError

INPUTS = (TensorSpec(name="x", dtype="float32", shape=("batch", 2)),)


def test_an_input_that_the_network_has_not_is_refused_by_name() -> None:
    x = np.zeros((3, 2), np.float32)
    check_feeds(INPUTS, {"x": x})
    with pytest.raises(BadInputError, match=r"takes the inputs \['x'\], got \['mask', 'x'\]"):
        check_feeds(INPUTS, {"x": x, "mask": x})


def test_a_fixed_axis_is_what_it_says_and_a_dynamic_one_is_free() -> None:
    for rows in (1, 7):
        check_feeds(INPUTS, {"x": np.zeros((rows, 2), np.float32)})
    with pytest.raises(BadInputError, match=r"takes shape \['batch', 2\], got \[1, 3\]"):
        check_feeds(INPUTS, {"x": np.zeros((1, 3), np.float32)})
