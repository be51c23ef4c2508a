"""Where weights lie: one file, or an index over shards, and the mapping in it that is meant.

Imports no torch, so that a command can tell whether a file changed before it loads anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lrn_deploy.bundle import sha256
from lrn_deploy.errors import BadInputError


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights.

    Attributes:
        path: The file.
        mapping: Keys that lead to the weights in it, joined by ``/``; empty: whatever fits.
    """

    path: Path
    mapping: str = ""

    @classmethod
    def parse(cls, text: Path) -> WeightsFile:
        """``FILE`` or ``FILE#mapping``; a file whose whole name holds a ``#`` wins."""
        whole = str(text)
        ends = [index for index, letter in enumerate(whole) if letter == "#"]
        for end in (len(whole), *reversed(ends)) if ends else ():
            if _is_file(Path(whole[:end])):
                return cls(Path(whole[:end]), whole[end + 1 :])
        return cls(text)

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
            BadInputError: If it cannot be read.
        """
        return _read(self.path, "Check --weights.")

    def identity(self) -> str | None:
        """Digest of all that this names; None if it cannot be read, which loading it will tell."""
        try:
            data = self.read()
            digest = sharded_digest(data, read_shards(self.path, data).values())
        except BadInputError:
            return None
        return f"{digest}#{self.mapping}" if self.mapping else digest


@dataclass(frozen=True)
class Shard:
    """One file of weights that were split.

    Attributes:
        path: The file.
        keys: The weights that it should hold.
        data: Its bytes.
    """

    path: Path
    keys: tuple[str, ...]
    data: bytes


def is_index(path: Path) -> bool:
    """Whether the file is an index over shards, ``model.safetensors.index.json`` for instance."""
    return path.suffix == ".json"


def read_shards(path: Path, data: bytes) -> dict[str, Shard]:
    """The shards that an index names, by their names; none if ``path`` is no index.

    Args:
        path: The index; its shards lie in its folder.
        data: The index's bytes.

    Raises:
        BadInputError: If it is no index, names a file elsewhere, or one that cannot be read.
    """
    if not is_index(path):
        return {}
    found: dict[str, list[str]] = {}
    for key, name in parse_index(data, path.name).items():
        found.setdefault(name, []).append(key)
    return {
        name: Shard(
            path.parent / name,
            tuple(keys),
            _read(path.parent / name, f"'{path.name}' names it; put it into the same folder."),
        )
        for name, keys in sorted(found.items())
    }


def parse_index(data: bytes, name: str) -> dict[str, str]:
    """Which shard each weight is in, as an index says in ``weight_map``.

    Args:
        data: JSON, as Hugging Face's libraries write it beside the shards.
        name: What errors call the index.

    Raises:
        BadInputError: If it is anything else, or names a file that is not in its own folder.
    """
    try:
        content = json.loads(data)
        places = content["weight_map"]
        fits = isinstance(places, dict) and all(isinstance(place, str) for place in places.values())
    except (ValueError, KeyError, TypeError, RecursionError):
        fits = False
    if not fits or not places:
        raise BadInputError(
            f"'{name}' is no index over shards: it has no 'weight_map' of weights to files.",
            "Give the weights themselves, or the index that was saved beside them "
            "(model.safetensors.index.json).",
        )
    outside = next((place for place in places.values() if not _is_beside(place)), None)
    if outside is not None:
        raise BadInputError(
            f"'{name}' names the shard {outside!r}, which is no file beside it.",
            "Put the shards into the index's folder and name them without a path.",
        )
    return {str(key): str(place) for key, place in places.items()}


def sharded_digest(data: bytes, shards: Iterable[Shard]) -> str:
    """SHA-256 of a file; of an index over its bytes and, in order, its shards' digests."""
    digest = hashlib.sha256(data)
    for shard in shards:
        digest.update(f"{shard.path.name} {sha256(shard.data)}\n".encode())
    return digest.hexdigest()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long for a file, or a folder that is closed to us
        return False


def _is_beside(name: str) -> bool:
    # A name is looked at, not resolved: caches keep the shards as links to elsewhere.
    path = PurePosixPath(name)
    return len(path.parts) == 1 and name.isprintable() and name not in ("..", ".", "/")


def _read(path: Path, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # a ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise BadInputError(f"Cannot read the weights file '{path}': {reason}.", hint) from error
