"""What a user writes for a bundle: told from a folder, taken apart, shown without its secrets."""

from __future__ import annotations

import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.stores.place import Place, is_url, shown, split_served

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text", ["s3://b/k", "memory://x", "file:///tmp/x", "https://h/x", "S3://b"]
)
def test_urls_are_told_from_folders(text: str) -> None:
    assert is_url(text)


@pytest.mark.parametrize("text", ["alexnet", "./s3:/x", "a=b", "c:x", "://x", "1s3://b", "/s3://b"])
def test_folders_are_told_from_urls(text: str) -> None:
    assert not is_url(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("s3://b/alexnet", ("", "s3://b/alexnet", "")),
        ("faces=s3://b/x", ("faces", "s3://b/x", "")),
        ("s3://b/x:cpu-int8", ("", "s3://b/x", "cpu-int8")),
        ("faces=s3://b/x:cpu-int8", ("faces", "s3://b/x", "cpu-int8")),
        ("http://h:9000/x", ("", "http://h:9000/x", "")),
        ("http://h:9000/x:model", ("", "http://h:9000/x", "model")),
        ("http://h:9000", ("", "http://h:9000", "")),
        (f"n=s3://b/x#sha256={DIGEST}:model", ("n", f"s3://b/x#sha256={DIGEST}", "model")),
        (f"s3://b/x#sha256={DIGEST}", ("", f"s3://b/x#sha256={DIGEST}", "")),
        ("https://h/x?a=s3://b", ("", "https://h/x?a=s3://b", "")),
    ],
)
def test_name_place_and_artifact_are_taken_apart(text: str, parts: tuple[str, str, str]) -> None:
    assert split_served(text) == parts


def test_a_pin_is_read_and_is_no_part_of_the_url() -> None:
    place = Place.read(f"s3://b/x#sha256={DIGEST.upper()}")
    assert (place.url, place.pin) == ("s3://b/x", DIGEST)
    assert Place.read("s3://b/a#b").url == "s3://b/a#b"  # a key may have one


@pytest.mark.parametrize("pin", ["", "abc", DIGEST + "0", DIGEST[:-1] + "g"])
def test_a_pin_that_is_no_digest_is_refused(pin: str) -> None:
    with pytest.raises(BadInputError, match="no SHA-256"):
        Place.read(f"s3://b/x#sha256={pin}")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("alexnet", "alexnet"),
        ("s3://b/x", "s3://b/x"),
        ("https://me:pass@h:1/x", "https://h:1/x"),
        ("https://h/x?sig=abc&se=2", "https://h/x?…"),
        ("https://h?sig=abc", "https://h"),
        (f"https://me@h/x?sig=abc#sha256={DIGEST}", f"https://h/x?…#sha256={DIGEST}"),
    ],
)
def test_what_is_shown_has_no_secret(text: str, seen: str) -> None:
    assert shown(text) == seen


def test_secrets_of_a_url_are_known() -> None:
    place = Place.read("https://me:pass@h/x?sig=abc%2F&se=2")
    assert {"me:pass", "me", "pass", "sig=abc%2F&se=2", "abc%2F"} <= set(place.secrets)
    assert Place.read("s3://b/x?y").secrets == ()


@pytest.mark.parametrize(
    ("url", "base", "path"),
    [
        ("s3://b/x", "b/x", "b/x/a/b.onnx"),
        ("s3://b/x/", "b/x/", "b/x/a/b.onnx"),
        ("https://h/x", "https://h/x", "https://h/x/a/b.onnx"),
        ("https://h/x/?s=1", "https://h/x/?s=1", "https://h/x/a/b.onnx?s=1"),
    ],
)
def test_files_lie_below_the_bundle(url: str, base: str, path: str) -> None:
    assert Place.read(url).file(base, "a/b.onnx") == path


def test_names_of_files_are_quoted_for_http_only() -> None:
    assert Place.read("https://h/x").file("https://h/x", "a#b c") == "https://h/x/a%23b%20c"
    assert Place.read("s3://b/x").file("b/x", "a#b c") == "b/x/a#b c"
