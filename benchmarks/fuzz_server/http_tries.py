"""Requests by HTTP, changed at random: heads, lengths, chunks, JSON, tensors, images, paths."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.fuzz_server.known import (
    CLASSIFY,
    FORM,
    INFER,
    LENGTH,
    MODEL,
    OTHER,
    Asked,
    as_binary,
    as_json,
    binary,
    form,
    image,
    known,
    pixels,
)
from benchmarks.fuzz_server.pieces import WORDS, bytes_changed, json_changed, text_changed, value


@dataclass(frozen=True)
class Try:
    """What is sent.

    Attributes:
        kind: What was changed.
        data: The bytes.
        asked: What a server must read in them; None if that, or where the request ends, is not
            sure.
    """

    kind: str
    data: bytes
    asked: Asked | None = None


_KNOWN = tuple(known())


def http_try(seed: int, number: int) -> Try:
    """The request of this number."""
    rng = random.Random(f"{seed} {number}")
    return rng.choices(_KINDS, _WEIGHTS)[0](rng)


_TOKENS = (
    *(b"GET ", b"POST ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"/v2", b" HTTP/1.1\r\n", b"\r\n"),
    *(b"Host: localhost\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"\n"),
    *(b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"0\r\n\r\n", b"\x00", b"{}"),
)


def _raw(rng: random.Random) -> Try:
    if rng.random() < 0.3:
        return Try("bytes", rng.randbytes(rng.choice((1, 10, 300, 70_000))))
    count = rng.randint(1, 12)
    parts = (rng.choice(_TOKENS) if rng.random() < 0.8 else rng.randbytes(3) for _ in range(count))
    return Try("bytes", b"".join(parts))


_LINES = (
    *("Content-Length: 0", "Content-Length: 768", "Transfer-Encoding: chunked", "Expect: x"),
    *("Transfer-Encoding: gzip, chunked", "Connection: close", "Connection: upgrade", " folded"),
    *("Expect: 100-continue", "Host: elsewhere", "Origin: http://elsewhere", "Upgrade: websocket"),
    *("Content-Encoding: gzip", "Accept-Encoding: gzip", "Accept-Encoding: gzip;q=x", "no colon"),
    *("X-Request-Id: \x01", "X-Request-Id: y", "Traceparent: 00-0-0-0", ": nothing", "Host:"),
    *(f"{LENGTH}: 0", f"{LENGTH}: 7", "Content-Type: multipart/form-data", "Access-Control-x: y"),
)
_METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "get", "PRI")
_VERSIONS = ("HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/0.9", "HTTP/1.10", "HTTP/1.", "http/1.1", "")


def _head(rng: random.Random) -> Try:
    asked = rng.choice(_KNOWN)
    head, _, body = asked.bytes().partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    ends = "\r\n"
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        way = rng.random()
        if way < 0.25:
            lines.insert(rng.randint(1, len(lines)), rng.choice(_LINES))
        elif way < 0.35 and len(lines) > 1:
            del lines[at]
        elif way < 0.45:
            lines.insert(at, lines[at])
        elif way < 0.6:
            method, _, version = [*lines[0].split(" ", 2), "", ""][:3]
            target = rng.choice((INFER, "*", "http://localhost/v2", "//", "/v2?" + "a&" * 99, "x"))
            lines[0] = " ".join(
                (rng.choice((method, *_METHODS)), target, rng.choice((version, *_VERSIONS)))
            )
        elif way < 0.65:
            ends = rng.choice(("\n", "\r", "\r\r\n", "\n\r\n"))
        elif way < 0.68:
            lines.insert(len(lines), "X: " + "x" * rng.choice((8000, 65_000, 66_000)))
        else:
            lines[at] = text_changed(lines[at], rng)
    data = (ends.join(lines) + "\r\n\r\n").encode("utf-8") + body
    return Try("head", data if rng.random() < 0.8 else bytes_changed(data, rng))


def _lengths(rng: random.Random) -> Try:
    asked = rng.choice(_KNOWN)
    true = len(asked.body)
    claimed = rng.choice((true - 1, true + 1, 0, 10 * true, 2**31, 2**63, 10**25, *WORDS[:10]))
    extents = [f"Content-Length: {claimed}"]
    if rng.random() < 0.3:
        extents.append(f"Content-Length: {true}")
    if rng.random() < 0.2:
        extents.append(
            "Transfer-Encoding: " + rng.choice(("chunked", "identity", "x", "chunked x"))
        )
    rng.shuffle(extents)
    data = asked.head("\r\n".join(extents)) + asked.body
    return Try("lengths", data + (asked.bytes() if rng.random() < 0.3 else b""))


def _chunked(rng: random.Random) -> Try:
    asked = rng.choice(_KNOWN)
    made, left = b"", asked.body
    while left:
        size = rng.choice((1, 7, 100, 5000))
        part, left = left[:size], left[size:]
        size_text = rng.choice((b"%x", b"%X", b"%05x")) % len(part)
        made += size_text + rng.choice((b"", b"", b";a=b", b' ;a="c"')) + b"\r\n" + part + b"\r\n"
    made += b"0\r\n" + rng.choice((b"", b"", b"X: trailer\r\n")) + b"\r\n"
    head = asked.head("Transfer-Encoding: chunked")
    if rng.random() < 0.4:
        return Try("chunks", head + made, asked)
    for _ in range(rng.randint(1, 3)):
        made = bytes_changed(made, rng)
    return Try("chunks", head + made)


def _json(rng: random.Random) -> Try:
    content: Any = as_json()
    if rng.random() < 0.5:
        content["outputs"] = [{"name": "scores", "parameters": {"classification": 2}}]
        content["parameters"] = {"priority": 1, "timeout": 1_000_000}
    if rng.random() < 0.2:  # other pixels, that are right, although the largest add up to infinity
        picture = pixels() + rng.random() * rng.choice((1, 100, 1e30, 3e38))
        content["inputs"][0]["data"] = picture.ravel().tolist()
    else:
        for _ in range(rng.randint(1, 3)):
            content = json_changed(content, rng)
    text = json.dumps(content)
    if rng.random() < 0.3:
        text = text_changed(text, rng)
    data = text.encode("utf-8")
    if rng.random() < 0.1:
        data = bytes_changed(data, rng)
    return _sound("json", Asked(INFER, data))


def _tensor(rng: random.Random) -> Try:
    more = rng.choice(({}, {"parameters": {"binary_data_output": True}}, {"id": "x"}))
    announced, content = as_binary(**more)
    if rng.random() < 0.4:
        announced = json_changed(announced, rng)
    while rng.random() < 0.7:
        content = bytes_changed(content, rng)
    asked = binary(announced, content)
    if rng.random() < 0.2:
        claimed = rng.choice((*WORDS[1:12], "0", str(len(asked.body)), str(len(asked.body) - 768)))
        asked = replace(asked, headers={LENGTH: claimed.strip("\0\r\n\t ") or "7"})
    return _sound("tensor", asked)


def _packed(rng: random.Random) -> Try:
    plain = json.dumps(as_json()).encode()
    if rng.random() < 0.2:
        plain = rng.choice((b"", b" " * 300_000, b"[" * 50_000, plain + b" " * 150_000))
    packed = rng.choice((gzip.compress, zlib.compress))(plain)
    if rng.random() < 0.2:
        packed = gzip.compress(packed)
    if rng.random() < 0.1:
        packed += packed
    while rng.random() < 0.5:
        packed = bytes_changed(packed, rng)
    named = rng.choice(
        ("gzip", "gzip", "deflate", "GZIP", "br", "gzip, gzip", "identity", "x" * 99)
    )
    return _sound("packed", Asked(INFER, packed, {"Content-Encoding": named}))


_FILES = (image(), image("JPEG"), image("BMP"), image("GIF"), image("PNG", optimize=True))


def _images(rng: random.Random) -> Try:
    path = rng.choice((CLASSIFY, CLASSIFY, "/v1/classify", f"/v1/embed?model={MODEL}"))
    files = [rng.choice(_FILES) for _ in range(rng.choice((1, 1, 2, 3, 4)))]
    files = [bytes_changed(one, rng) if rng.random() < 0.7 else one for one in files]
    if len(files) == 1 and rng.random() < 0.6:
        return _sound("images", Asked(path, files[0], {"Content-Type": "image/png"}))
    body = form(files)
    while rng.random() < 0.5:
        body = bytes_changed(body, rng)
    named = FORM if rng.random() < 0.8 else text_changed(FORM, rng)
    named = named.encode("ascii", "ignore").decode().translate({0: None, 10: None, 13: None})
    return _sound("images", Asked(path, body, {"Content-Type": named}))


_PATHS = (
    *("/", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/stats", "/metrics"),
    *(f"/v2/models/{MODEL}{end}" for end in ("", "/ready", "/config", "/stats", "/infer")),
    *(f"/v2/models/{MODEL}/versions/{one}/infer" for one in ("1", "2", "0" * 99)),
    *(f"/v2/repository/models/{OTHER}/{what}" for what in ("load", "unload", "x")),
    *("/v2/repository/index", "/v2/systemsharedmemory/status", "/v2/cudasharedmemory/status"),
    *("/v2/systemsharedmemory/region/r/register", "/v2/trace/setting", "/v2/logging"),
    *("/v1/classify", "/v1/embed", "/v1/stats", "/openapi.json", "/favicon.ico"),
)
_QUERIES = (
    "",
    "?",
    "?top=2",
    "?top=-1",
    f"?model={MODEL}",
    "?model=",
    "?a=b&a=c",
    "?%",
    "?model=%2F",
)
_BODIES = (b"", b"{}", b"[]", b"null", b"{", b'{"ready": true}', b'{"parameters": {"config": "x"}}')


def _path(rng: random.Random) -> Try:
    path = rng.choice(_PATHS)
    if rng.random() < 0.6:
        path = text_changed(path, rng)
    path += rng.choice(_QUERIES)
    if rng.random() < 0.2:
        path = text_changed(path, rng)
    path = "".join(letter for letter in path if letter > " ")
    body = rng.choice(_BODIES) if rng.random() < 0.7 else json.dumps(value(rng)).encode()
    asked = Asked(path, body, method=rng.choice(("GET", "POST", "GET", "POST", *_METHODS)))
    return Try("path", asked.head().replace(b"\x00", b"") + body)


def _sound(kind: str, asked: Asked) -> Try:
    return Try(kind, asked.bytes(), asked)


_KINDS: tuple[Callable[[random.Random], Try], ...]
_KINDS = (_raw, _head, _lengths, _chunked, _json, _tensor, _packed, _images, _path)
_WEIGHTS = (8, 16, 10, 12, 20, 14, 8, 10, 14)
