"""The image files in a body."""

from __future__ import annotations

import re

from lrn_deploy.serving.errors import InvalidRequestError, TooLargeError

_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))', re.IGNORECASE)
_FILE_NAME = re.compile(r'filename="([^"]*)"', re.IGNORECASE)


def files(content_type: str, body: bytes, max_files: int) -> list[tuple[str, bytes]]:
    """The names and contents of the images in a body.

    Args:
        content_type: ``multipart/form-data`` (RFC 7578) with one part for each image, or any
            other: then the whole body is one image.
        body: The body.
        max_files: Images at most.

    Raises:
        InvalidRequestError: If the multipart body is malformed or has no files.
        TooLargeError: If there are too many.
    """
    if not content_type.lower().startswith("multipart/"):
        if not body:
            raise InvalidRequestError(
                "The body is empty; send an image file, or several as multipart/form-data."
            )
        return [("image", body)]
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise InvalidRequestError("The Content-Type multipart has no boundary.")
    boundary = b"\r\n--" + (found[1] or found[2]).encode()
    parts: list[tuple[str, bytes]] = []
    for piece in (b"\r\n" + body).split(boundary, max_files + 2)[1:]:
        if piece.startswith(b"--"):
            break
        if len(parts) == max_files:
            raise TooLargeError(f"One request may have {max_files} images at most.")
        head, separator, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not separator:
            raise InvalidRequestError("A part of the multipart body has no end of its headers.")
        name = _FILE_NAME.search(head.decode("utf-8", "replace"))
        parts.append((name[1] if name and name[1] else f"image-{len(parts)}", content))
    else:
        raise InvalidRequestError("The multipart body is cut short, or its boundary is another.")
    if not parts:
        raise InvalidRequestError("The multipart body has no images.")
    return parts
