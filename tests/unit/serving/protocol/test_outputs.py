"""The protocol's types and strings, and scores as classes."""

from __future__ import annotations

import numpy as np
import pytest

from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.protocol.outputs import classification, pack_strings
from lrn_deploy.serving.protocol.parameters import whole


def test_equal_scores_keep_the_order_of_their_indices() -> None:
    row = np.repeat(np.float32([1, 2, 0.5]), [10, 3, 400])
    assert classification(np.stack([row, row[::-1]]), 5, None) == [
        ["2.000000:10", "2.000000:11", "2.000000:12", "1.000000:0", "1.000000:1"],
        ["2.000000:400", "2.000000:401", "2.000000:402", "1.000000:403", "1.000000:404"],
    ]


def test_no_row_has_more_classes_than_elements_and_labels_may_be_fewer() -> None:
    assert classification(np.array([[1, 3, 2]]), 9, ("a", "b")) == [
        ["3.000000:1:b", "2.000000:2", "1.000000:0:a"]
    ]


def test_strings_have_their_length_in_bytes_before_them() -> None:
    assert pack_strings(["é".encode(), b""]) == b"\2\0\0\0\xc3\xa9\0\0\0\0"


def test_whole_numbers_are_those_that_a_file_can_be_read_at() -> None:
    assert whole({}, "n") == 0
    assert [whole({"n": n}, "n") for n in (0, 2**63 - 1, "17")] == [0, 2**63 - 1, 17]
    for wrong in (-1, 2**63, 1.0, True, "-1", "²", None, "9" * 30):
        with pytest.raises(InvalidRequestError):
            whole({"n": wrong}, "n")
