"""Members of a JSON object, each checked for its kind."""

from __future__ import annotations

from typing import Any

from lrn_deploy.serving.errors import InvalidRequestError

_MISSING: dict[type, str] = {list: "an array", dict: "an object", str: "a string"}


def field(container: dict[str, Any], key: str, kind: type, default: Any) -> Any:
    """A member of a JSON object; ``default`` None makes it required."""
    value = container.get(key, default)
    if value is None and default is None:
        raise InvalidRequestError(f"'{key}' is missing; it must be {_MISSING[kind]}.")
    if not isinstance(value, kind):
        raise InvalidRequestError(f"'{key}' must be {_MISSING[kind]}.")
    return value


def flag(parameters: dict[str, Any], key: str) -> bool:
    """A parameter that is true or false; false if it is not there."""
    value = parameters.get(key, False)
    if not isinstance(value, bool):
        raise InvalidRequestError(f"The parameter '{key}' must be true or false, got {value!r}.")
    return value


def whole(parameters: dict[str, Any], key: str) -> int:
    """A parameter that is a whole number; 0 if it is not there."""
    value = parameters.get(key, 0)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)  # tritonclient's own tools send numbers as strings at times
    if type(value) is not int or not 0 <= value < 2**63:
        raise InvalidRequestError(f"The parameter '{key}' must be a whole number, got {value!r}.")
    return value
