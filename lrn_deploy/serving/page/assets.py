"""The files that a browser loads: read when the first one asks, then served from memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from lrn_deploy.serving.http.message import Response

INDEX = "index.html"
_SCRIPT = "text/javascript; charset=utf-8"
TYPES: Mapping[str, str] = {
    INDEX: "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "api.js": _SCRIPT,
    "app.js": _SCRIPT,
    "camera.js": _SCRIPT,
    "card.js": _SCRIPT,
    "charts.js": _SCRIPT,
    "compare.js": _SCRIPT,
    "connection.js": _SCRIPT,
    "digits.js": _SCRIPT,
    "dom.js": _SCRIPT,
    "draw.js": _SCRIPT,
    "key.js": _SCRIPT,
    "live.js": _SCRIPT,
    "occlusion.js": _SCRIPT,
    "picking.js": _SCRIPT,
    "picture.js": _SCRIPT,
    "results.js": _SCRIPT,
    "trouble.js": _SCRIPT,
    "words.js": _SCRIPT,
}
"""All files there are, with their types; a name from a request is looked up here and only here."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing of another host, nothing inline, no frame around the page."""

_HEADERS = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(self), geolocation=(), microphone=()"),
    ("cache-control", "no-cache"),  # kept, but asked for each time: the next version shows at once
    ("vary", "accept-encoding"),
)


@dataclass(frozen=True)
class _Asset:
    content: bytes
    packed: bytes
    tag: str


def asset(name: str, *, packed: bool = False, known: str = "") -> Response:
    """The answer with one of the page's files.

    Args:
        name: A key of :data:`TYPES`.
        packed: Whether the browser takes gzip.
        known: The tags of what the browser has, the header ``If-None-Match``.
    """
    found = _read(name)
    headers: tuple[tuple[str, str], ...] = (
        ("content-type", TYPES[name]),
        ("etag", found.tag),
        *_HEADERS,
    )
    if packed:
        headers = (*headers, ("content-encoding", "gzip"))
    # With 304 the length is that of what is not sent (RFC 9110, 8.6).
    status = 304 if found.tag in known or known.strip() == "*" else 200
    return Response(status, headers, found.packed if packed else found.content)


@cache
def _read(name: str) -> _Asset:
    import gzip  # here, since a server that nobody looks at needs neither
    from importlib.resources import files

    content = (files("lrn_deploy.serving.page") / "assets" / name).read_bytes()
    # Weak, since the same tag stands for both encodings.
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:20]}"'
    return _Asset(content, gzip.compress(content, mtime=0), tag)
