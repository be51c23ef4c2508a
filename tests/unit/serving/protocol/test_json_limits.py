"""What a parser would choke on, to the exact count."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from lrn_deploy.serving.errors import InvalidRequestError, TooLargeError
from lrn_deploy.serving.protocol.json_limits import check_json_limits


def nested(levels: int) -> bytes:
    """An array of a hundred empty ones, so that it is looked into, and one of so many levels."""
    inner = levels - 1
    return b"[" + b"[]," * 100 + b"[" * inner + b"]" * inner + b"]"


@pytest.mark.parametrize(
    "text",
    [
        {"text": "[" * 200},
        {"text": "[{" * 5000},
        {"[" * 101: "]" * 7},
        ['"' + "[" * 200, "\\" + "[" * 200, '\\"' + "{" * 200],
    ],
)
def test_brackets_in_strings_are_text(text: object) -> None:
    check_json_limits(json.dumps(text).encode())


@pytest.mark.parametrize("text", [b'["\\\\", ', b'["\\"", ', b'["", '])
def test_brackets_after_a_string_are_none(text: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        check_json_limits(text + b"[" * 100 + b"]" * 101)


def test_a_hundred_levels_are_taken_and_one_more_is_not() -> None:
    check_json_limits(nested(100))
    with pytest.raises(InvalidRequestError, match="100 levels"):
        check_json_limits(nested(101))


def test_objects_are_counted_beside_arrays_before_anything_is_looked_into() -> None:
    deep = b'{"a":' * 101 + b"1" + b"}" * 101
    with pytest.raises(InvalidRequestError, match="100 levels"):
        check_json_limits(deep)
    with pytest.raises(InvalidRequestError, match="100 levels"):
        check_json_limits(b"[" * 60 + b'{"a":' * 41 + b"1" + b"}" * 41 + b"]" * 60)


def test_a_million_containers_are_taken_and_one_more_is_not() -> None:
    half = b"[" + b"[]," * 499_999
    check_json_limits(half + b"{}," * 500_000 + b"0]")
    with pytest.raises(TooLargeError, match="1,000,001 arrays"):
        check_json_limits(half + b"{}," * 500_001 + b"0]")


def test_looking_into_a_text_takes_little_more_memory_than_the_text() -> None:
    text = b"[]" * 101 + b"]" * 2**22
    tracemalloc.start()
    check_json_limits(text)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5 * len(text)


def test_levels_are_counted_through_a_text_of_any_length() -> None:
    """Half of the levels open before 2**20 brackets, where the first part that is looked at ends.

    The other half opens behind it.
    """
    before = b"[]" * ((2**20 - 60) // 2) + b"[" * 60
    assert len(before) == 2**20
    check_json_limits(before + b"[" * 40 + b"]" * 100)
    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        check_json_limits(before + b"[" * 41 + b"]" * 101)
