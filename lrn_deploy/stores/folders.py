"""Bundles as folders of hard links to the files of a cache, called by their manifest's digest."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path, PurePosixPath

from lrn_deploy.bundle import MANIFEST, FileRecord
from lrn_deploy.errors import DamagedError
from lrn_deploy.stores.cache import Cache, digest_of


def compose(cache: Cache, manifest: FileRecord, records: Iterable[FileRecord]) -> Path:
    """The folder of a bundle whose files the cache has.

    Args:
        cache: Where they are.
        manifest: Of its manifest.json, by whose digest the folder is called.
        records: Of its other files.

    Raises:
        DamagedError: If the manifest names a file outside the bundle.
        CannotWriteError: If there is no room; the folder is then not there.
    """
    files = {MANIFEST: manifest.sha256}
    files |= {inside(record.file): record.sha256 for record in records}
    folder = cache.root / "bundles" / manifest.sha256
    if _is_made_of(cache, folder, files):
        return folder
    with cache.writing():
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".tmp-"))
        try:
            made.chmod(0o755)
            for name, digest in files.items():
                place = made / name
                place.parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(cache.path(digest), place)
            _put(cache, made, folder, files)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return folder


@contextmanager
def copied(cache: Cache, folder: Path) -> Iterator[Path]:
    """A copy of a composed bundle that may be added to, for as long as the block lasts."""
    with cache.writing():
        work = cache.root / "work"
        work.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = Path(tempfile.mkdtemp(dir=work))
    try:
        with cache.writing():
            copy = made / "bundle"
            shutil.copytree(folder, copy, copy_function=_link_or_copy)
        yield copy
    finally:
        shutil.rmtree(made, ignore_errors=True)


def inside(name: str) -> str:
    """A file's path in its bundle.

    Raises:
        DamagedError: If it lies elsewhere.
    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name or name == MANIFEST:
        raise DamagedError(
            f"The manifest names '{name}', which lies outside the bundle.",
            "Do not use this bundle; export it again.",
        )
    return str(path)


def _put(cache: Cache, made: Path, folder: Path, files: Mapping[str, str]) -> None:
    """Give a folder its name, where none, a wrong one, or another process's right one may stand."""
    try:
        made.rename(folder)
    except OSError:
        if _is_made_of(cache, folder, files):
            return
        # Who reads the wrong one goes on with the files that it has open.
        old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".tmp-"))
        with suppress(FileNotFoundError):
            folder.rename(old)
        shutil.rmtree(old, ignore_errors=True)
        made.rename(folder)


def _is_made_of(cache: Cache, folder: Path, files: Mapping[str, str]) -> bool:
    """Whether a folder has these files, each that of its digest."""
    for name, digest in files.items():
        try:
            if (folder / name).samefile(cache.path(digest)):
                continue
            with FileIO(folder / name) as stream:
                if digest_of(stream) != digest:
                    return False
        except OSError:
            return False
    return True


def _link_or_copy(source: Path | str, target: Path | str) -> None:
    """A hard link, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
