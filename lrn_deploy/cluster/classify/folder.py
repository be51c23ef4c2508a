"""The folder of results: parts that are there wholly or not at all, and what they are of.

A part is ``part-DIGEST.parquet``, named after the images it was asked for. Before it comes
``_bad/part-DIGEST.jsonl`` with those of them that could not be classified; without its part that
counts for nothing. So a run that was killed leaves every image either done or not, and the next run
does those that are not. Readers of Parquet folders pass over names that begin with ``_``.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lrn_deploy.bundle import write_atomic
from lrn_deploy.cluster.classify.reach import reaching
from lrn_deploy.errors import BadInputError, CannotWriteError

_RUN = "_run.json"
_BAD = "_bad"
_BUNDLE = "bundle"
_TOKEN = "run"  # noqa: S105 - which run the folder belongs to, no secret


class Folder:
    """A folder here or at a URL that fsspec opens. Picklable.

    Args:
        url: Path or URL.
        token: The run that writes; another one that has begun since ends it.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self.token = token or secrets.token_hex(8)

    def begin(self, told: Mapping[str, str]) -> tuple[set[str], set[str]]:
        """Take the folder over for a run of a bundle.

        Args:
            told: What determines the results.

        Returns:
            The images that are classified already, and those that could not be.

        Raises:
            BadInputError: If the folder has other files, or results of something else.
            CannotWriteError: If it cannot be written.
        """
        with reaching(self.url, "write"):
            system, root = self._opened()
            there = [str(name).rpartition("/")[2] for name in _listed(system, root)]
            if there and _RUN not in there:
                raise BadInputError(
                    f"'{self.url}' has files in it, and no results of 'classify'.",
                    "Name another folder for --out, or empty this one.",
                )
            if there:
                self._check(json.loads(system.cat_file(f"{root}/{_RUN}")), told)
            self._put(_RUN, json.dumps({_TOKEN: self.token, _BUNDLE: dict(told)}).encode())
            return self._done(there)

    def commit(self, images: Iterable[str], good: bytes, bad: bytes) -> None:
        """Write a part; once more, if a process that had written it was lost, is the same.

        Args:
            images: Their names, in order.
            good: A Parquet file of those that were classified.
            bad: Lines of JSON of those that were not; may be empty.

        Raises:
            CannotWriteError: If it cannot be written, or another run has taken the folder over.
        """
        name = part_name(images)
        with reaching(self.url, "write"):
            system, root = self._opened()
            if json.loads(system.cat_file(f"{root}/{_RUN}"))[_TOKEN] != self.token:
                raise CannotWriteError(
                    f"Another run has taken over '{self.url}'.", "Let one write there at a time."
                )
            if bad:
                self._put(f"{_BAD}/{name}.jsonl", bad)
            self._put(f"{name}.parquet", good)

    def _check(self, run: Mapping[str, Any], told: Mapping[str, str]) -> None:
        before = run[_BUNDLE]
        if before != dict(told):
            differing = ", ".join(
                name for name in {**before, **told} if before.get(name) != told.get(name)
            )
            raise BadInputError(
                f"'{self.url}' has results of another bundle or other options: {differing}.",
                "Name another folder for --out, or go on with the same ones.",
            )

    def _done(self, there: Iterable[str]) -> tuple[set[str], set[str]]:
        import pyarrow.parquet as pq

        system, root = self._opened()
        good: set[str] = set()
        bad: set[str] = set()
        parts = {name.removesuffix(".parquet") for name in there if name.endswith(".parquet")}
        for part in parts:
            with system.open(f"{root}/{part}.parquet", "rb") as file:
                good.update(pq.read_table(file, columns=["image"]).column("image").to_pylist())
        for path in _listed(system, f"{root}/{_BAD}"):
            if path.rpartition("/")[2].removesuffix(".jsonl") in parts:
                lines = system.cat_file(path).splitlines()
                bad.update(json.loads(line)["image"] for line in lines)
            else:  # of a run that ended between the two
                system.rm_file(path)
        return good, bad

    def _put(self, name: str, content: bytes) -> None:
        """Write a file wholly or not at all, as objects in a bucket are anyway."""
        from fsspec.implementations.local import LocalFileSystem

        system, root = self._opened()
        if isinstance(system, LocalFileSystem):
            write_atomic(Path(root, name), content)
        else:
            system.pipe_file(f"{root}/{name}", content)

    def _opened(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        system, root = url_to_fs(self.url, use_listings_cache=False)
        return system, str(root).rstrip("/")


def part_name(images: Iterable[str]) -> str:
    """What the part of some images is called, without an ending."""
    digest = hashlib.sha256("\n".join(images).encode("utf-8", "surrogateescape"))
    return f"part-{digest.hexdigest()[:24]}"


def _listed(system: Any, folder: str) -> list[str]:
    try:
        return [str(path) for path in system.ls(folder, detail=False)]
    except FileNotFoundError:
        return []
