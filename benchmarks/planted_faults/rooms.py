"""The rooms whose code faults are planted in, and the tests that belong to each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Room:
    """Part of the package.

    Attributes:
        sources: Files and folders of its code.
        tests: Files and folders of its tests, of which those that touch a module are run.
    """

    sources: tuple[str, ...]
    tests: tuple[str, ...]


def _room(*sources: str, tests: str = "") -> Room:
    return Room(
        tuple(f"lrn_deploy/{source}" for source in sources),
        (f"tests/unit/{tests or sources[0]}",),
    )


_SERVER = ("batching", "http", "rest", "grpc", "protocol", "repository", "service.py")

ROOMS = {
    "serving": _room(*(f"serving/{part}" for part in _SERVER), tests="serving"),
    **{
        name: _room(name)
        for name in (
            "passes", "parity", "bundle", "images", "network", "export", "tuning", "latency",
            "backends", "caffe", "onnx_files", "client", "load", "stores", "package", "sizing",
            "cluster",
        )
    },
    "security": _room("serving/security", tests="serving/security"),
    "lrn": _room("lrn.py", tests="test_lrn.py"),
}  # fmt: skip
"""Left out: what commands print and pages show, and what needs a GPU."""


def files(top: Path, room: Room) -> list[str]:
    """Its modules, as paths from the top of a checkout."""
    found: list[Path] = []
    for source in room.sources:
        where = top / source
        found += [where] if where.is_file() else sorted(where.rglob("*.py"))
    return [str(file.relative_to(top)) for file in found if file.name != "__init__.py"]
