"""Forms as clients send them, and as nobody should."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrn_deploy.serving.errors import InvalidRequestError, RequestError, TooLargeError
from lrn_deploy.serving.rest.multipart import files

KIND = "multipart/form-data; boundary=b"


def part(parameters: bytes, content: bytes = b"x", more: bytes = b"") -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="f"' + parameters + b"\r\n" + more
    return head + b"\r\n" + content + b"\r\n"


def names(*parts: bytes) -> list[str]:
    return [name for name, _ in files(KIND, b"".join(parts) + b"--b--", 9)]


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (b'; filename="a b;c.png"', "a b;c.png"),
        (rb'; filename="a\"b.png"', 'a"b.png'),  # quoted pairs, RFC 9110, 5.6.4
        (rb'; filename="a\\\"b"', r"a\"b"),
        (b'; filename="a%22b.png"', 'a"b.png'),  # as browsers do it
        (b"; filename=a.png", "a.png"),
        (b"; FileName = a.png", "a.png"),
        ('; filename="Gr\u00fc\u00dfe \u732b.png"'.encode(), "Gr\u00fc\u00dfe \u732b.png"),
        (b'; filename="Gr\xfcn"', "Gr\ufffdn"),  # in no charset that anyone told
        (b"; filename*=UTF-8''a.png", "image-0"),  # which RFC 7578, 4.2, forbids
        (b"; filename*=UTF-8''a.png; filename=\"b.png\"", "b.png"),
        (b"; filename=\"b.png\"; filename*=UTF-8''a.png", "b.png"),
        (b'; filename=""', "image-0"),
        (b"", "image-0"),
        (b'; xfilename="no"', "image-0"),
        (b"; filename=", "image-0"),
    ],
)
def test_file_names(parameters: bytes, name: str) -> None:
    assert names(part(parameters)) == [name]


def test_a_name_stands_in_the_disposition_only() -> None:
    other = b'Content-Type: image/png; filename="no"\r\nX-Note: filename="no"\r\n'
    assert names(part(b"", more=other), part(b'; filename="a"'), part(b"")) == [
        "image-0",
        "a",
        "image-2",
    ]


@pytest.mark.parametrize(
    "kind",
    [
        'Multipart/Form-Data; charset=utf-8; Boundary="b"',
        "multipart/form-data;boundary=b",
        'multipart/form-data; boundary="b"; x=y',
    ],
)
def test_boundaries(kind: str) -> None:
    assert files(kind, part(b"") + b"--b--", 1) == [("image-0", b"x")]


def test_what_stands_around_the_parts_means_nothing() -> None:
    body = b"before\r\n" + part(b'; filename="a"') + b"--b--\r\nbehind\r\n" + part(b"")
    assert files(KIND, body, 9) == [("a", b"x")]


CONTENT = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n--", b"--b", b"b", b"\0"])).map(b"".join)


@settings(max_examples=50)
@given(st.lists(CONTENT.filter(lambda one: b"\r\n--b" not in one), min_size=1, max_size=3))
def test_contents_come_as_they_were_sent(contents: list[bytes]) -> None:
    body = b"".join(part(b"", one) for one in contents)
    assert [one for _, one in files(KIND, body + b"--b--", 3)] == contents


HEAD = b"Content-Disposition: form-data; name=f\r\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"\r\n", "cut short"),
        (b"--b", "cut short"),
        (b"--b\r\n", "cut short"),
        (b"--b\r\n" + HEAD, "cut short"),
        (b"--b\r\n" + HEAD + b"\r\nxyz", "cut short"),
        (b"--b\r\n" + HEAD + b"\r\nxyz\r\n--b", "cut short"),
        (b"--b\r\n" + HEAD + b"\r\nxyz\r\n--b-", "cut short"),
        (b"--b\r\n" + HEAD + b"\r\n--b--", "cut short"),  # these belong to the content
        (b"--b\r\n" + HEAD + b"\r\nxyz\n--b--", "cut short"),
        (b"--b\r\n" + HEAD + b"\r\nxyz\r\n--bc\r\n--b--", "malformed"),  # of another boundary?
        (b"--bc\r\n" + HEAD + b"\r\nxyz\r\n--bc--", "malformed"),
        (b"--b\n" + HEAD + b"\r\nxyz\r\n--b--", "malformed"),
        (b"--b\r\n" + HEAD + b"no colon\r\n\r\nxyz\r\n--b--", "end of its headers"),
        (b"--b\r\n" + HEAD + b"a b: c\r\n\r\nxyz\r\n--b--", "malformed"),
        (b"--b\r\n" + HEAD + b"Content-Length: 4\r\n\r\nxyz\r\n--b--", "malformed"),
        (b"--b\r\n" + HEAD + b"Content-Length: 2\r\n\r\nxyz\r\n--b--", "malformed"),
        (b"--b\r\n\r\nxyz\r\n--b--", "Missing Content-Disposition"),
        (b"--b\r\nContent-Disposition: attachment\r\n\r\nxyz\r\n--b--", "Wrong type"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        files(KIND, body, 9)


def test_a_boundary_is_no_line() -> None:
    for kind in ('multipart/form-data; boundary="a\nb"', 'multipart/form-data; boundary=""'):
        with pytest.raises(InvalidRequestError, match="boundary"):
            files(kind, b"x", 1)


def test_headers_have_limits() -> None:
    line = b"X-Note: %b\r\n"
    assert names(part(b"", more=line % (b"x" * 4000)))
    assert names(part(b"", more=line % b"" * 7))
    for more in (line % (b"x" * 10_000), line % b"" * 8, line % (b"x" * 10_000_000)):
        with pytest.raises(TooLargeError, match="headers of an image are too large"):
            names(part(b"", more=more))


def test_many_parts_are_refused_at_the_first_that_is_too_many() -> None:
    assert len(files(KIND, part(b"") * 5 + b"--b--", 5)) == 5
    for rest in (b"--b--", b"malformed", part(b"") * 100_000):
        with pytest.raises(TooLargeError, match="5 images at most"):
            files(KIND, part(b"") * 6 + rest, 5)


def test_a_photograph_is_copied_once() -> None:
    content = b"\r\n--" * 2_500_000
    body = part(b"", content) + b"--b--"
    tracemalloc.start()
    ((_, seen),) = files(KIND, body, 1)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == content
    assert most < 1.1 * len(content)


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from([b"--b", b"--b--", b"\r\n", HEAD, b":", b'"', b"\xff", b"x", b" "]))
)
def test_no_bytes_crash_it(pieces: list[bytes]) -> None:
    for start in (b"", b"--b\r\n", b"--b\r\n" + HEAD):
        with suppress(RequestError):
            assert files(KIND, start + b"".join(pieces), 2)
