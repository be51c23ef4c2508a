"""What every session refuses to be fed."""

from __future__ import annotations

import numpy as np
import pytest

from lrn_deploy.backends.protocol import SessionBase, check_feeds
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


def test_types_ranks_and_arrays_are_the_inputs_own() -> None:
    for wrong in (np.zeros((1, 2)), np.zeros((1, 2), np.int32)):
        with pytest.raises(BadInputError, match="takes float32, got"):
            check_feeds(INPUTS, {"x": wrong})
    for shape in ((2,), (1, 2, 1), ()):
        with pytest.raises(BadInputError, match="takes shape"):
            check_feeds(INPUTS, {"x": np.zeros(shape, np.float32)})
    with pytest.raises(BadInputError, match=r"got \[\]"):
        check_feeds(INPUTS, {})


def test_a_session_is_closed_at_the_end_of_its_block_whatever_happened() -> None:
    class Noting(SessionBase):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    session = Noting()
    with session as entered:
        assert entered is session
        assert session.closed == 0
    assert session.closed == 1
    with pytest.raises(ValueError, match="x"), session:
        raise ValueError("x")
    assert session.closed == 2
