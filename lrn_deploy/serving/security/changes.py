"""Whether files have changed since they were looked at last."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_Sign = tuple[int, int, int, int]


class Changes:
    """Tells that files are others than before.

    Size, time and inode are compared, behind links: a file that is renamed to the place of another,
    and a link of Kubernetes' that leads elsewhere, are seen even within one tick of the clock.

    Args:
        paths: The files, as they are now.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._seen = self._signs()

    def found(self) -> bool:
        """Whether any is not what it was when this was asked last, or at the beginning."""
        before, self._seen = self._seen, self._signs()
        return self._seen != before

    def _signs(self) -> list[_Sign | None]:
        signs: list[_Sign | None] = []
        for path in self._paths:
            sign = None
            with suppress(OSError):
                found = path.stat()
                sign = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            signs.append(sign)
        return signs
