"""The image files in a body."""

from __future__ import annotations

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from lrn_deploy.serving.errors import InvalidRequestError, TooLargeError


def files(content_type: str, body: bytes, max_files: int) -> list[tuple[str, bytes]]:
    """The names and contents of the images in a body.

    Args:
        content_type: ``multipart/form-data`` (RFC 7578) with one part for each image, or any
            other: then the whole body is one image.
        body: The body.
        max_files: Images at most.

    Raises:
        InvalidRequestError: If the body is empty, or multipart and malformed or without files.
        TooLargeError: If there are too many, or the headers of one are too large.
    """
    if not body:
        raise InvalidRequestError(
            "The body is empty; send an image file, or several as multipart/form-data."
        )
    if not content_type.lower().startswith("multipart/"):
        return [("image", body)]
    boundary = parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise InvalidRequestError("The Content-Type multipart has no boundary.")
    try:
        parts = _parts(boundary, body, max_files)
    except ParserLimitReached as error:
        raise TooLargeError(f"The headers of an image are too large: {error}.") from error
    except MultipartError as error:
        raise InvalidRequestError(
            f"The multipart body is malformed, or a part has no end of its headers: {error}."
        ) from error
    if not parts:
        raise InvalidRequestError("The multipart body has no images.")
    return parts


def _parts(boundary: str, body: bytes, max_files: int) -> list[tuple[str, bytes]]:
    parts: list[tuple[str, bytes]] = []
    # Latin-1 decodes any bytes: a name in an unknown charset is no reason to refuse its image.
    parser = PushMultipartParser(boundary, header_charset="latin-1")
    for event in parser.parse(body):
        if isinstance(event, MultipartSegment):
            if len(parts) == max_files:
                raise TooLargeError(f"One request may have {max_files} images at most.")
            name = (event.filename or "").encode("latin-1").decode("utf-8", "replace")
            parts.append((name or f"image-{len(parts)}", b""))
        elif event is not None:  # all of the part at once, as the body is there
            parts[-1] = (parts[-1][0], event)
    try:
        parser.close()
    except MultipartError as error:
        raise InvalidRequestError(
            "The multipart body is cut short, or its boundary is another."
        ) from error
    return parts
