"""Two servers' answers to one call: equal, different for a reason that is listed, or different."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

EXACT = 0.0
ACROSS_MACHINES = 1e-4
"""Relative tolerance of float32 results that another processor has computed."""

_CLASS = re.compile(r"(-?\d+\.\d{6}):(.*)")


@dataclass(frozen=True)
class Difference:
    """One place where two answers differ.

    Attributes:
        path: Where, as ``outputs/0/shape``.
        theirs: tritonserver's value; None if it is not there.
        ours: lrn-server's.
    """

    path: str
    theirs: Any
    ours: Any


@dataclass(frozen=True)
class Allowed:
    """A difference that is as it should be.

    Attributes:
        rows: What the row's name must match, a regular expression.
        path: What the path must match.
        theirs: Values that tritonserver may have there.
        ours: Values that lrn-server may have there.
        reason: Why that is right.
    """

    rows: str
    path: str
    theirs: tuple[Any, ...]
    ours: tuple[Any, ...]
    reason: str

    def fits(self, row: str, difference: Difference) -> bool:
        """Whether it speaks of this difference."""
        return bool(
            re.search(self.rows, row)
            and re.fullmatch(self.path, difference.path)
            and difference.theirs in self.theirs
            and difference.ours in self.ours
        )


_CLIENT = ("400", "INVALID_ARGUMENT")
_UNKNOWN = ("404", "NOT_FOUND")

ALLOWED = (
    Allowed(
        "metadata of",
        "platform",
        ("python",),
        ("onnxruntime_onnx",),
        "Triton runs the file through its Python backend, lrn-server through ONNX Runtime itself.",
    ),
    Allowed(
        "http: refused",
        "refused",
        ("500",),
        ("400",),
        "The client's mistake, so 400; Triton 2.51 calls it an internal error.",
    ),
    Allowed(
        "http: refused: ",
        "says/.*",
        (False,),
        (True,),
        "lrn-server also says which input or header it was, and its full size.",
    ),
    Allowed(
        "statistics of an unknown model",
        "refused",
        _CLIENT,
        _UNKNOWN,
        "Not found, as for every other call.",
    ),
    Allowed(
        "statistics of an unknown model",
        "says/unknown model",
        (False,),
        (True,),
        "Said in the words of every other call.",
    ),
    Allowed(
        "what asking then says",
        "refused",
        _UNKNOWN,
        ("503", "UNAVAILABLE"),
        "The bundle is known and can be loaded again, so the refusal is not for ever.",
    ),
    Allowed(
        "load: an unknown model",
        "refused",
        ("500", "INTERNAL"),
        _UNKNOWN,
        "Not found; Triton 2.51 calls it an internal error.",
    ),
    Allowed(
        "unload: an unknown model",
        "/",
        ("done",),
        _UNKNOWN,
        "Triton says yes to unloading what there is not; a mistyped name should be heard of.",
    ),
    Allowed(
        "a priority that there is not",
        "/",
        ("answered",),
        _CLIENT,
        "Triton silently takes the default instead.",
    ),
    Allowed(
        "load: with a configuration",
        "/",
        ("done",),
        ("501", "UNIMPLEMENTED"),
        "A bundle is served as it is; the configuration is not the client's to change.",
    ),
    Allowed(
        "not advertised",
        "/",
        ("answered",),
        ("501",),
        "lrn-server has no such extension, and does not advertise it.",
    ),
)


def differences(theirs: Any, ours: Any, tolerance: float, path: str = "") -> Iterator[Difference]:
    """Where two answers differ.

    Args:
        theirs: Plain values. Members whose names start with ``_`` are not compared.
        ours: The same.
        tolerance: Relative, of floating-point numbers.
        path: Where in the answer these are.
    """
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if ("refused" in theirs) != ("refused" in ours):  # one of them did not answer at all
            yield Difference(path or "/", _outcome(theirs), _outcome(ours))
            return
        for key in sorted({*theirs, *ours}):
            if not key.startswith("_"):
                yield from differences(
                    theirs.get(key), ours.get(key), tolerance, f"{path}/{key}".lstrip("/")
                )
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(one, other, tolerance, f"{path}/{index}".lstrip("/"))
    elif not _same(theirs, ours, tolerance):
        yield Difference(path or "/", _outcome(theirs), _outcome(ours))


def judge(row: str, found: list[Difference]) -> tuple[str, list[Allowed]]:
    """``equal``, ``allowed`` or ``different``, and by which entries it is allowed."""
    used = []
    for difference in found:
        entry = next((one for one in ALLOWED if one.fits(row, difference)), None)
        if entry is None:
            return "different", []
        if entry not in used:
            used.append(entry)
    return ("allowed" if found else "equal"), used


def _outcome(value: Any) -> Any:
    """A whole answer in a word, where one server answered and the other did not."""
    if isinstance(value, dict) and "refused" in value:
        return value["refused"]
    return "answered" if isinstance(value, dict) and "outputs" in value else value


def _same(theirs: Any, ours: Any, tolerance: float) -> bool:
    if isinstance(theirs, float) and isinstance(ours, int | float):
        return math.isclose(theirs, ours, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(theirs, str) and isinstance(ours, str) and tolerance:
        one, other = _CLASS.fullmatch(theirs), _CLASS.fullmatch(ours)
        if one and other and one[2] == other[2]:  # a class with its score
            return math.isclose(float(one[1]), float(other[1]), rel_tol=tolerance)
    return bool(theirs == ours)
