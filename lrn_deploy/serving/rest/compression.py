"""Bodies that come or leave in gzip or deflate."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace

from lrn_deploy.serving.errors import InvalidRequestError, TooLargeError
from lrn_deploy.serving.http.message import Response

_WORTH_COMPRESSING = 1024
_NO_WEIGHT = re.compile(r"\s*q=0(\.0*)?\s*", re.IGNORECASE)


def decompress(body: bytes | bytearray, encoding: str, limit: int) -> bytes | bytearray:
    """Undo a Content-Encoding.

    Args:
        body: As it came.
        encoding: ``gzip``, ``deflate``, ``identity`` or empty.
        limit: Bytes that may come out.

    Raises:
        InvalidRequestError: If the encoding is unknown, or the body is not in it.
        TooLargeError: If more bytes would come out.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise InvalidRequestError(
            f"Content-Encoding '{encoding}' is not supported; use gzip, deflate or identity."
        )
    unpacker = zlib.decompressobj(wbits=47)  # gzip or zlib, as its header says
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidRequestError(f"The body is no valid {encoding} data: {error}.") from error
    if len(plain) > limit:
        raise TooLargeError(f"The body unpacks to more than {limit:,} bytes, which is the limit.")
    if not unpacker.eof:
        raise InvalidRequestError(f"The {encoding} body is cut short.")
    if unpacker.unused_data:
        raise InvalidRequestError(f"Something follows the {encoding} body.")
    return plain


def compressed(response: Response, accepted: str) -> Response:
    """``response`` in an encoding that the caller accepts, if it is large enough to be worth it."""
    if len(response.body) < _WORTH_COMPRESSING or any(
        name == "content-encoding" for name, _ in response.headers
    ):
        return response
    encoding = coding(accepted)
    if not encoding:
        return response
    packer = zlib.compressobj(1, wbits=31 if encoding == "gzip" else 15)
    body = packer.compress(response.body) + packer.flush()
    return replace(response, headers=(*response.headers, ("content-encoding", encoding)), body=body)


def coding(accepted: str) -> str:
    """The encoding for a caller that accepts these, ``Accept-Encoding``; empty if there is none."""
    offers = dict(map(_offer, accepted.split(",")))
    return next((name for name in ("gzip", "deflate") if offers.get(name)), "")


def _offer(part: str) -> tuple[str, bool]:
    """A coding, and whether it is acceptable: ``;q=0`` says that it is not (RFC 9110, 12.4.2)."""
    name, _, weight = part.partition(";")
    return name.strip().lower(), not _NO_WEIGHT.fullmatch(weight)
