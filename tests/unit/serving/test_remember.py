"""What was read is remembered, within bounds, and never mixed up."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrn_deploy.bundle import TensorSpec
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.http import head as http_head
from lrn_deploy.serving.remember import MANY, SHORT, remembering
from lrn_deploy.serving.rest import announcement
from lrn_deploy.serving.rest import codec as wire


class Reader:
    """Reads numbers and keeps account of it."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def __call__(self, text: bytes) -> int:
        self.seen.append(text)
        return int(text)


def test_a_short_text_is_read_once() -> None:
    reader = Reader()
    read = remembering(reader)
    assert [read(b"1"), read(b"2"), read(b"1"), read(b"2")] == [1, 2, 1, 2]
    assert reader.seen == [b"1", b"2"]


def test_what_cannot_be_read_is_tried_each_time() -> None:
    reader = Reader()
    read = remembering(reader)
    for _ in range(3):
        with pytest.raises(ValueError, match="invalid literal"):
            read(b"x")
    assert len(reader.seen) == 3


def test_long_texts_and_all_but_the_latest_are_forgotten() -> None:
    reader = Reader()
    read = remembering(reader)
    longest, longer = b"1".rjust(SHORT, b" "), b"1".rjust(SHORT + 1, b" ")
    for text in (longest, longest, longer, longer):
        assert read(text) == 1
    assert reader.seen == [longest, longer, longer]
    for number in range(MANY):
        read(b"%d" % number)
    reader.seen.clear()
    read(longest)
    assert reader.seen == [longest]


@settings(max_examples=50)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=20))
def test_requests_that_announce_the_same_keep_their_own_tensors(values: list[float]) -> None:
    specs = (TensorSpec(name="x", dtype="float32", shape=("batch", 1)),)
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1]}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": 4}}]}).encode()
    messages = [
        wire.decode(bytearray(head + struct.pack("<f", value)), str(len(head)), specs)
        for value in values
    ]
    assert [message.inputs["x"].item() for message in messages] == values


def test_an_announcement_that_came_before_is_held_to_the_body_that_comes_with_it() -> None:
    specs = (TensorSpec(name="x", dtype="uint8", shape=("batch", 4)),)
    tensor = {"name": "x", "datatype": "UINT8", "shape": [1, 4]}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": 4}}]}).encode()
    assert wire.decode(head + b"1234", str(len(head)), specs).inputs["x"].tolist() == [
        [49, 50, 51, 52]
    ]
    for tail, said in ((b"123", "too short"), (b"12345", "1 bytes follow")):
        with pytest.raises(InvalidRequestError, match=said):
            wire.decode(head + tail, str(len(head)), specs)


@settings(max_examples=50)
@given(st.binary(max_size=100))
def test_remembering_changes_no_answer(text: bytes) -> None:
    def said(read: Callable[[bytes], object], given: bytes) -> object:
        try:
            return read(given)
        except InvalidRequestError as error:
            return error.message

    for one in (text, b"GET / HTTP/1.1\r\nA: %b\r\n\r\n" % text, text):
        assert said(http_head.read_or_remember, one) == said(http_head.parse_head, one)
        assert said(announcement.read_or_remember, one) == said(announcement.read, one)
