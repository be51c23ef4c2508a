"""Which files of tests touch a module: those that mirror or import it, and further ones."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from benchmarks.planted_faults.rooms import Room


def touching(top: Path, room: Room, path: str) -> tuple[list[str], list[str], list[str]]:
    """The files of a room's tests that touch a module.

    Args:
        top: A checkout.
        room: The module's room.
        path: The module.

    Returns:
        Those that import it or have its name, its namesake first; those that import its package,
        or a module that imports it; and the rest.
    """
    own = _dotted(path)
    package = own.rpartition(".")[0]
    users = {
        _dotted(str(file.relative_to(top)))
        for file in (top / "lrn_deploy").rglob("*.py")
        if own in imported(file)
    }
    stem = f"test_{Path(path).stem}"
    near, far, rest = [], [], []
    for file in _tests(top, room):
        name = str(file.relative_to(top))
        known = imported(file)
        if own in known or file.stem.startswith(stem):
            near.append(name)
        elif package in known or known & users:
            far.append(name)
        else:
            rest.append(name)
    return sorted(near, key=lambda name: (not Path(name).stem.startswith(stem), name)), far, rest


@cache
def imported(file: Path) -> frozenset[str]:
    """The modules that a file imports, and what it imports from them, as dotted names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def _tests(top: Path, room: Room) -> Iterator[Path]:
    for place in room.tests:
        where = top / place
        yield from [where] if where.is_file() else sorted(where.rglob("test_*.py"))


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
