"""URLs and credentials, the right and the wrong ones."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from lrn_deploy.client import Client
from lrn_deploy.client.address import Address, Credentials, unreachable
from lrn_deploy.errors import BadInputError


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://host:8000", Address("http", "host", 8000)),
        ("http://host", Address("http", "host", 80)),
        ("https://host/", Address("http", "host", 443, secure=True)),
        ("https://host/team/a/", Address("http", "host", 443, secure=True, prefix="/team/a")),
        ("grpc://host", Address("grpc", "host", 8001)),
        ("grpcs://host/", Address("grpc", "host", 8001, secure=True)),
        ("grpcs://[::1]:9", Address("grpc", "::1", 9, secure=True)),
    ],
)
def test_a_url_says_where_and_how(url: str, wanted: Address) -> None:
    assert Address.of(url) == wanted


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert Address.of("http://[::1]:8000").authority == "[::1]:8000"
    assert str(Address.of("https://host/x")) == "https://host:443/x"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000", "is no URL of a server"),
        ("ftp://host", "is no URL of a server"),
        ("http://", "is no URL of a server"),
        ("http://host:99999", "is no URL: Port out of range"),
        ("http://me:secret@host", "more than a server's address"),
        ("http://host/?a=1", "more than a server's address"),
        ("http://host/#a", "more than a server's address"),
        ("http://@host", "more than a server's address"),
        ("grpc://host/path", "has a path, which gRPC does not know"),
    ],
)
def test_a_url_that_is_none_is_refused_with_a_right_one(url: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said) as caught:
        Client(url)
    assert caught.value.hint


def test_keys_and_headers_are_sent() -> None:
    credentials = Credentials(api_key="k1", headers={"X-Team": "a"})
    assert credentials.sent() == {"authorization": "Bearer k1", "x-team": "a"}


def test_a_header_has_a_name_and_what_can_be_printed() -> None:
    for name, value in (("", "a"), ("é", "a"), ("a", "é"), ("a", "\x7f")):
        with pytest.raises(BadInputError, match=f"'{name}' cannot be sent"):
            Credentials(headers={name: value})
    assert Credentials(headers={"a": ""}).sent() == {"a": ""}


@pytest.mark.parametrize("key", ["abc\n", "a\r\nx: y", "ключ"])
def test_a_key_that_would_break_the_head_is_refused(key: str) -> None:
    with pytest.raises(BadInputError, match="'authorization' cannot be sent"):
        Credentials(api_key=key)


def test_files_that_are_no_certificates_are_refused(tmp_path: Path) -> None:
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("nothing")
    with pytest.raises(BadInputError, match="certificates cannot be used"):
        Client("https://host", ca=nonsense)
    with pytest.raises(BadInputError, match="certificates cannot be used"):
        Client("https://host", ca=tmp_path / "missing.pem")
    with pytest.raises(BadInputError, match=r"missing.pem' cannot be read"):
        Client("grpcs://host", ca=tmp_path / "missing.pem")
    with pytest.raises(BadInputError, match="without its certificate"):
        Client("https://host", key=nonsense)


def test_contents_of_files_are_told_apart_and_the_key_may_be_in_the_certificates(
    tmp_path: Path,
) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(name)
    ca, cert, key = (tmp_path / name for name in ("ca", "cert", "key"))
    assert Credentials.of("", ca, str(cert), key).pem() == (b"ca", b"key", b"cert")
    assert Credentials(cert=cert).pem() == (None, b"cert", b"cert")
    assert Credentials().pem() == (None, None, None)


def test_whoever_cannot_be_reached_is_told_with_what_to_do() -> None:
    at = Address("http", "host", 80)
    untrusted = ssl.SSLCertVerificationError(1, "failed")
    untrusted.verify_message = "self-signed"
    cipher, silent = ssl.SSLError(1, "long"), ssl.SSLError(1, "long")
    cipher.reason, silent.reason = "NO_SHARED_CIPHER", None  # type: ignore[assignment]  # None where OpenSSL says none
    for error, said, hint in (
        (untrusted, "http://host:80 is not trusted: self-signed.", "ca="),
        (cipher, "http://host:80 agrees to no TLS: NO_SHARED_CIPHER.", "cert="),
        (silent, f"http://host:80 agrees to no TLS: {silent}.", "cert="),
        (OSError(111, "Refused"), "Nobody answers at http://host:80: Refused.", "host and port"),
        (ValueError("odd"), "Nobody answers at http://host:80: odd.", "host and port"),
        (TimeoutError(), "Nobody answers at http://host:80: TimeoutError.", "host and port"),
    ):
        found = unreachable(at, error)
        assert (found.message, hint in found.hint) == (said, True)
