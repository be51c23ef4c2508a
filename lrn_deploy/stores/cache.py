"""Files of bundles kept by their content, so that each is fetched once, whatever bundle has it.

A file lies under its SHA-256 (``sha256/ab/abcd…``), renamed to there once its digest was right.
What is on its way lies in ``unfinished/``, locked by the process that fetches it; a later one goes
on with what is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from lrn_deploy.bundle import FileRecord
from lrn_deploy.errors import CannotWriteError, DamagedError

VARIABLE = "LRN_DEPLOY_CACHE"
_LOOK_SECONDS = 0.05  # between two looks whether another process has finished
Fetch = Callable[[int], Iterator[bytes]]
"""Gives a file's bytes from an offset on, in order."""


class Cache:
    """The folder of one user's, or one machine's, fetched files.

    Args:
        root: The folder; it need not be there yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def default(cls) -> Cache:
        """The one that the environment names: ``LRN_DEPLOY_CACHE``, else XDG's place for caches."""
        named = os.environ.get(VARIABLE)
        if named:
            return cls(Path(named))
        base = os.environ.get("XDG_CACHE_HOME")
        try:
            return cls((Path(base) if base else Path.home() / ".cache") / "lrn-deploy")
        except RuntimeError as error:  # a user without a home
            raise CannotWriteError(
                "There is no folder for what is fetched.", f"Name one in {VARIABLE}."
            ) from error

    def path(self, digest: str) -> Path:
        """Where the file of a digest lies, or would."""
        return self.root / "sha256" / digest[:2] / digest

    def holds(self, record: FileRecord) -> bool:
        """Whether the file is there, whole; one that is not is dropped."""
        path = self.path(record.sha256)
        try:
            with FileIO(path) as stream:
                size = os.fstat(stream.fileno()).st_size
                if size == record.size and digest_of(stream) == record.sha256:
                    return True
        except OSError:
            return False
        with self.writing(), suppress(FileNotFoundError):
            path.unlink()
        return False

    def read(self, digest: str) -> bytes | None:
        """The bytes of a digest, if they are there."""
        try:
            data = self.path(digest).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == digest else None

    def add(
        self, record: FileRecord, fetch: Fetch, told: Callable[[int], None], source: str
    ) -> None:
        """Fetch a file that is not there.

        Args:
            record: Its digest and size.
            fetch: Gives its bytes.
            told: How many of them are there.
            source: Where they come from, for messages.

        Raises:
            DamagedError: If they are not those of the record; nothing of them is kept.
            CannotWriteError: If there is no room; nothing of them is kept either.
            LrnDeployError: As ``fetch`` does; what has come stays for a later try.
        """
        with self.writing():
            for folder in (self.root / "unfinished", self.path(record.sha256).parent):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.root / "unfinished" / record.sha256
        with self._locked(partial, lambda: self.holds(record), told) as stream:
            if stream is None:  # another process was quicker
                return
            with _not_left_empty(stream, partial):
                resumed = self._append(stream, partial, record, fetch, told)
            if resumed and self._is_wrong(stream, record):  # a power cut may have torn it
                with self.writing(partial):
                    stream.truncate(0)
                self._append(stream, partial, record, fetch, told)
            self._keep(stream, partial, record, source)

    def keep(self, data: bytes) -> FileRecord:
        """Keep bytes that are here already."""
        digest = hashlib.sha256(data).hexdigest()
        record = FileRecord(file=digest, sha256=digest, size=len(data))
        if not self.holds(record):
            self.add(record, lambda start: iter([data[start:]]), lambda _: None, "memory")
        return record

    def free(self) -> int:
        """Bytes that may still be written."""
        folder = self.root
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        return shutil.disk_usage(folder).free

    @contextmanager
    def _locked(
        self, partial: Path, done: Callable[[], bool], told: Callable[[int], None]
    ) -> Iterator[FileIO | None]:
        """The unfinished file, this process's alone; None if another has finished it meanwhile."""
        while True:
            with self.writing():
                stream = FileIO(partial, "a+")
            with stream:
                while not _lock(stream):
                    told(os.fstat(stream.fileno()).st_size)
                    time.sleep(_LOOK_SECONDS)
                if not _is_there(stream, partial):  # renamed or removed by who had it before
                    if done():
                        yield None
                        return
                    continue
                if done():
                    with suppress(FileNotFoundError):
                        partial.unlink()
                    yield None
                    return
                yield stream
                return

    def _append(
        self,
        stream: FileIO,
        partial: Path,
        record: FileRecord,
        fetch: Fetch,
        told: Callable[[int], None],
    ) -> bool:
        """Fetch what is missing; returns whether something was there."""
        have = stream.seek(0, os.SEEK_END)
        if have > record.size:
            with self.writing(partial):
                stream.truncate(0)
            have = 0
        resumed = have > 0
        told(have)
        if have == record.size:
            return resumed
        for piece in fetch(have):
            with self.writing(partial):
                rest = memoryview(piece)
                while rest:
                    rest = rest[stream.write(rest) :]
            have += len(piece)
            told(have)
        return resumed

    @staticmethod
    def _is_wrong(stream: FileIO, record: FileRecord) -> bool:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        return size != record.size or digest_of(stream) != record.sha256

    def _keep(self, stream: FileIO, partial: Path, record: FileRecord, source: str) -> None:
        """Give the file its name, if its bytes are right."""
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        digest = digest_of(stream)
        if size == record.size and digest == record.sha256:
            with self.writing(partial):
                partial.chmod(0o444)
                partial.replace(self.path(record.sha256))
            return
        with suppress(OSError):
            partial.unlink()
        if size != record.size:
            why = f"it has {size} bytes, its manifest says {record.size}"
        else:
            why = f"its SHA-256 is {digest[:12]}…, its manifest says {record.sha256[:12]}…"
        raise DamagedError(
            f"'{source}' is not the file of its bundle: {why}.",
            "An upload may be under way or have broken off: run 'lrn-deploy push' again. Nothing "
            "was loaded.",
        )

    @contextmanager
    def writing(self, partial: Path | None = None) -> Iterator[None]:
        """Turn the system's refusal to write into a sentence, and leave no half of a file."""
        try:
            yield
        except OSError as error:
            if partial is not None:
                with suppress(OSError):
                    partial.unlink()
            raise CannotWriteError(
                f"Cannot keep what is fetched in '{self.root}': {error.strerror or error}.",
                f"Free some space there, or name another folder in {VARIABLE}; "
                "nothing half-written was left.",
            ) from error


@contextmanager
def _not_left_empty(stream: FileIO, partial: Path) -> Iterator[None]:
    """A file of which not a byte came is no beginning."""
    try:
        yield
    except BaseException:
        if not os.fstat(stream.fileno()).st_size:
            with suppress(OSError):
                partial.unlink()
        raise


def _lock(stream: FileIO) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_there(stream: FileIO, path: Path) -> bool:
    """Whether the open file still has its name."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def digest_of(stream: FileIO) -> str:
    """SHA-256 of what an open file has from where it stands."""
    return hashlib.file_digest(stream, "sha256").hexdigest()
