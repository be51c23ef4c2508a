"""What a command makes as a whole: filled in a temporary folder beside it, then renamed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lrn_deploy.bundle.store import MANIFEST, writing
from lrn_deploy.errors import BadInputError


@contextmanager
def new_bundle(path: Path, *, force: bool) -> Iterator[Path]:
    """Give a temporary folder to fill, which becomes the bundle ``path`` if the body succeeds.

    Args:
        path: Folder of the bundle to be.
        force: Replace a bundle that is already there.

    Yields:
        An empty folder beside ``path``; it is removed if the body raises, and ``path`` is then as
        it was.

    Raises:
        BadInputError: If ``path`` exists and ``force`` is not set, or is no bundle at all.
        CannotWriteError: If the folder cannot be made or renamed.
    """
    check_target(path, force=force)
    with folder_beside(path) as folder:
        yield folder
        check_target(path, force=force)  # something may have come there meanwhile
        put(folder, path)


def check_target(path: Path, *, force: bool) -> None:
    """Refuse a ``path`` that a new bundle may not take.

    Raises:
        BadInputError: If something is there that may not be replaced.
        CannotWriteError: If it cannot be looked at: no permission, or no possible name.
    """
    check_replaceable(path, lambda found: (found / MANIFEST).is_file(), "bundle", force=force)


def check_replaceable(
    path: Path, is_one: Callable[[Path], bool], kind: str, *, force: bool
) -> None:
    """Refuse a ``path`` at which something is that may not be replaced.

    Args:
        path: Where something new is to be.
        is_one: Whether what is there is of the kind that is to be made.
        kind: What that is called.
        force: Replace one of that kind.

    Raises:
        BadInputError: If something else is there, or one of that kind and ``force`` is not set.
        CannotWriteError: If it cannot be looked at: no permission, or no possible name.
    """
    with writing(path):
        free = not path.exists() or (path.is_dir() and not any(path.iterdir()))
        found = not free and is_one(path)
    if free:
        return
    if not found:
        raise BadInputError(
            f"'{path}' exists and is not a {kind}, so it is left alone.",
            "Choose another output folder.",
        )
    if not force:
        raise BadInputError(
            f"'{path}' already holds a {kind}.",
            "Add --force to replace it, or choose another folder.",
        )


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """An empty temporary folder on the file system of ``path``, removed in the end.

    Raises:
        CannotWriteError: If it cannot be made.
    """
    path = path.resolve()  # a link to a bundle stays, and what it points to is replaced
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.tmp-"))
    try:
        temporary.chmod(0o755)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put(made: Path, path: Path) -> None:
    """Rename what was ``made`` beside ``path`` to it; what was there before is gone.

    Args:
        made: A folder or a file, on the same file system.
        path: Where it is to be.

    Raises:
        CannotWriteError: If it cannot be renamed; ``path`` is then as it was.
    """
    path = path.resolve()
    replaced = made.with_name(made.name + "-old")
    with writing(path):
        if path.exists():
            path.rename(replaced)
        try:
            made.rename(path)
        except BaseException:
            if replaced.exists():
                replaced.rename(path)
            raise
    shutil.rmtree(replaced, ignore_errors=True)
