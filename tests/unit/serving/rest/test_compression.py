"""When an answer is packed, in what, and what a packed body may be."""

from __future__ import annotations

import gzip
import zlib

import pytest

from lrn_deploy.serving.errors import InvalidRequestError, TooLargeError
from lrn_deploy.serving.http.message import Response
from lrn_deploy.serving.rest.compression import compressed, decompress

LONG = Response(201, (("x", "y"),), b"a" * 1024)


def coding(accepted: str, response: Response = LONG) -> str | None:
    return dict(compressed(response, accepted).headers).get("content-encoding")


def test_what_is_shorter_than_a_kibibyte_is_not_worth_it() -> None:
    assert coding("gzip") == "gzip"
    short = Response(200, (), b"a" * 1023)
    assert compressed(short, "gzip") is short


def test_what_is_packed_is_not_packed_again() -> None:
    packed = Response(200, (("x", "y"), ("content-encoding", "gzip")), b"a" * 5000)
    assert compressed(packed, "gzip, deflate") is packed


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("", None),
        ("br", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip", "gzip"),
        ("br;q=1, DEFLATE ; q=0.5", "deflate"),
        ("gzip;q=0, deflate", "deflate"),  # RFC 9110, 12.4.2: 0 is "not acceptable"
        ("gzip; q=0.000", None),
        ("gzip;q=0.001", "gzip"),
    ],
)
def test_the_clients_choice(accepted: str, chosen: str | None) -> None:
    assert coding(accepted) == chosen


def test_the_packed_answer_unpacks_to_the_answer() -> None:
    packed = compressed(LONG, "gzip")
    assert (packed.status, packed.headers[0]) == (201, ("x", "y"))
    assert gzip.decompress(packed.body) == LONG.body
    assert zlib.decompress(compressed(LONG, "deflate").body) == LONG.body
    assert len(packed.body) < 100


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_a_plain_body_is_taken_as_it_is_whatever_its_length(encoding: str) -> None:
    body = b"abc"
    assert decompress(body, encoding, 1) is body


def test_a_packed_body_is_read_up_to_the_limit() -> None:
    for packed, encoding in (
        (gzip.compress(b"abcd"), "gzip"),
        (zlib.compress(b"abcd"), " DEFLATE"),
    ):
        assert decompress(packed, encoding, 4) == b"abcd"
        with pytest.raises(TooLargeError, match="more than 3 bytes"):
            decompress(packed, encoding, 3)


@pytest.mark.parametrize(
    ("body", "encoding", "said"),
    [
        (gzip.compress(b"abc", mtime=0)[:-1], "gzip", "cut short"),
        (gzip.compress(b"abc", mtime=0) + b"\0", "gzip", "Something follows"),
        (b"abc", "deflate", "no valid deflate data"),
        (b"abc", "br", "'br' is not supported"),
    ],
)
def test_what_is_not_what_it_says(body: bytes, encoding: str, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        decompress(body, encoding, 100)
