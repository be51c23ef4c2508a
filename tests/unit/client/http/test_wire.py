"""Requests as bytes, and answers read from bytes however they come."""

from __future__ import annotations

import pytest

from lrn_deploy.client.errors import ProtocolError
from lrn_deploy.client.http.wire import AnswerReader, HttpAnswer, HttpRequest

OPEN_END = b"HTTP/1.1 200 OK\r\nX-Own: 1\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def test_a_request_has_its_headers_after_those_of_all() -> None:
    asked = HttpRequest("POST", "/x?y=1", (("b", "2"),), (b"abc", b"", b"de"))
    assert asked.nbytes == 5
    assert asked.whole("host:1", {"a": "1"}) == (
        b"POST /x?y=1 HTTP/1.1\r\nhost: host:1\r\ncontent-length: 5\r\na: 1\r\nb: 2\r\n\r\nabcde"
    )
    assert HttpRequest("GET", "/").head("h", {}) == b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"


def test_answers_of_one_connection_are_read_one_after_the_other() -> None:
    reader = AnswerReader()
    for _ in range(2):
        assert reader.feed(WHOLE[:-1]) is None
        assert reader.feed(WHOLE[-1:]) == HttpAnswer(200, {"content-length": "2"}, b"ok", True)
    assert reader.end() is None


def test_what_comes_with_an_answer_that_nobody_asked_for_is_on_no_good_connection() -> None:
    found = AnswerReader().feed(WHOLE + WHOLE)
    assert found is not None
    assert not found.reusable


def test_an_answer_without_a_length_goes_to_the_end_of_its_connection() -> None:
    reader = AnswerReader()
    for data in (OPEN_END, b"a", b"b"):
        assert reader.feed(data) is None
    assert reader.end() == HttpAnswer(200, {"x-own": "1"}, b"ab", reusable=False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        OPEN_END[:20],
        WHOLE[:-1],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na",
    ],
)
def test_half_an_answer_is_none_at_the_end(data: bytes) -> None:
    reader = AnswerReader()
    if data:
        assert reader.feed(data) is None
    assert reader.end() is None


def test_an_interim_answer_is_passed_over() -> None:
    found = AnswerReader().feed(b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE)
    assert found == HttpAnswer(200, {"content-length": "2"}, b"ok", True)


def test_what_is_no_http_is_told() -> None:
    with pytest.raises(ProtocolError, match="no HTTP"):
        AnswerReader().feed(b"SSH-2.0\r\n\r\n")
