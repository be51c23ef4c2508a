"""A JSON object from bytes that anyone may have sent."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.protocol.json_limits import check_json_limits


def parse_json(text: bytes | bytearray) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InvalidRequestError: If it is none, is nested too deeply, has a key twice, or has NaN or
            Infinity, which JSON does not know.
        TooLargeError: If it has too many arrays and objects.
    """
    check_json_limits(text)
    try:
        value = _DECODER.decode(str(text, "utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"The JSON is not UTF-8: {error.reason}.") from error
    except ValueError as error:
        raise InvalidRequestError(f"Failed to parse the request as JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidRequestError(f"The request must be a JSON object, got {_json_name(value)}.")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON; send such values as binary tensors if you must")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        ((twin, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key '{twin[:40]}' is there twice")
    return value


def _json_name(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_without_twins)
