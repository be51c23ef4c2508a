"""A bundle where it is kept: its files read in pieces, written whole, by fsspec's file systems.

A piece is asked for by its range, so that a download goes on where it stopped, several are on their
way at once, and what limits the waiting is silence rather than the time that all of it takes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.stores.place import Place
from lrn_deploy.stores.refusals import (
    CONNECT_SECONDS,
    SILENCE_SECONDS,
    AbsentError,
    LostError,
    Said,
    refusal,
)

_SMALLEST, _LARGEST = 2**18, 2**24  # bytes of a piece
_QUICK, _SLOW = 0.5, 2.0  # seconds after which the next ones are larger, or smaller
_AT_ONCE = 4
_TRIES = 3
_FIRST_PAUSE = 0.2
_PART = 2**23  # of an upload to S3, which waits for the answer to each
_PART_SECONDS = 300.0
_S3 = ("s3", "s3a")
_WITHOUT_FOLDERS = (*_S3, "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "r2")
Piece = tuple[bytes, float]


class Remote:
    """The files of one bundle in a store.

    Args:
        place: Where it is.
        upload: Whether files are to be written, whose answers take longer.

    Raises:
        BadInputError: If no file system is known by the URL's scheme.
        MissingError: If what reads it is not installed.
    """

    def __init__(self, place: Place, *, upload: bool = False) -> None:
        self.place = place
        self._system, self._base = _open(place, _PART_SECONDS if upload else SILENCE_SECONDS)

    def small(self, name: str, most: int) -> bytes | None:
        """The bytes of a file that has at most so many; None if it is not there.

        Raises:
            LrnDeployError: If the store does not give it, or has more.
        """
        try:
            data = b"".join(self.pieces(name, 0, most + 1))
        except AbsentError:
            return None
        if len(data) > most:
            raise BadInputError(
                f"'{name}' of '{self.place.shown}' has more than {most} bytes.",
                "It is not what it should be; look for a slip in the URL.",
            )
        return data

    def pieces(self, name: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes of a file from ``start`` to ``end``, in order; fewer where it ends before.

        Raises:
            AbsentError: If it is not there.
            LrnDeployError: If the store does not give it.
        """
        path = self.place.file(self._base, name)
        size, asked = _SMALLEST, start
        window = 1  # until the first piece has shown whether the store heeds ranges at all
        waiting: deque[tuple[int, int, Future[Piece]]] = deque()
        try:
            while asked < end or waiting:
                while asked < end and len(waiting) < window:
                    until = min(asked + size, end)
                    waiting.append((asked, until, self._ask(path, asked, until)))
                    asked = until
                first, until, answer = waiting.popleft()
                data, seconds = self._patiently(path, first, until, answer)
                if len(data) > until - first:  # the whole file, from a server without ranges
                    yield data[first:end]
                    return
                yield data
                if len(data) < until - first:
                    return
                size, window = _next_size(size, seconds), _AT_ONCE
        finally:
            for _, _, answer in waiting:
                answer.cancel()

    def put(self, file: Path, name: str) -> None:
        """Write a file of this machine under a name.

        Raises:
            LrnDeployError: If the store does not take it.
        """
        path = self.place.file(self._base, name)
        options = {"chunksize": _PART} if self.place.scheme in _S3 else {}
        with self._told("write"):
            if self.place.scheme not in _WITHOUT_FOLDERS:
                self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._system.put_file(str(file), path, **options)

    def remove(self, name: str) -> None:
        """Remove a file.

        Raises:
            LrnDeployError: If the store does not let us.
        """
        with self._told("write"), suppress(FileNotFoundError):
            self._system.rm_file(self.place.file(self._base, name))

    def _told(self, doing: str) -> _Told:
        return _Told(self.place, doing)

    def _ask(self, path: str, start: int, end: int) -> Future[Piece]:
        """Begin to read a range; a file system that cannot do so beside others has done it then."""
        if self._system.async_impl:
            reading = self._system._cat_file(path, start=start, end=end)
            return asyncio.run_coroutine_threadsafe(_timed(reading), self._system.loop)
        answer: Future[Piece] = Future()
        began = time.monotonic()
        try:
            data = self._system.cat_file(path, start=start, end=end)
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result((data, time.monotonic() - began))
        return answer

    def _patiently(self, path: str, start: int, end: int, answer: Future[Piece]) -> Piece:
        """A piece, asked for again where the connection broke."""
        for attempt in range(_TRIES):
            try:
                with self._told("read"):
                    return answer.result()
            except _PastTheEnd:
                return b"", 0.0
            except LostError:
                if attempt == _TRIES - 1:
                    raise
                time.sleep(_FIRST_PAUSE * 4**attempt)
                answer = self._ask(path, start, end)
        raise AssertionError("unreachable")


class _PastTheEnd(Exception):  # noqa: N818 - it says where the file ended, which is no error
    """What was asked for lies beyond the file's last byte."""


class _Told:
    """Turns the errors of the libraries below into ours."""

    def __init__(self, place: Place, doing: str) -> None:
        self._place = place
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, LrnDeployError):
            return
        if Said.by(error).codes & {"416", "InvalidRange"}:
            raise _PastTheEnd from None
        told = refusal(error, self._place, self._doing)
        # What they say may repeat the URL: where that has a secret, not even --debug prints it.
        raise told from (None if self._place.secrets else error)


async def _timed(reading: Coroutine[Any, Any, bytes]) -> Piece:
    began = time.monotonic()
    return await reading, time.monotonic() - began


def _next_size(size: int, seconds: float) -> int:
    """Pieces take about a second each, so that a slow link shows how far it has come."""
    if seconds < _QUICK:
        return min(2 * size, _LARGEST)
    return max(size // 2, _SMALLEST) if seconds > _SLOW else size


def _open(place: Place, silence: float) -> tuple[Any, str]:
    """The file system of a URL and the URL's path as that has it; asks nobody yet."""
    try:
        import fsspec
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingError(
            "Bundles at URLs need fsspec, which is not installed.",
            f"Install it with: {install('stores')}",
        ) from error
    if place.scheme not in {*fsspec.available_protocols()}:
        raise BadInputError(
            f"'{place.scheme}' of '{place.shown}' is no scheme that fsspec knows.",
            "s3, https, file, gs, az and sftp are some of them.",
        )
    ours = (*_S3, "http", "https")
    try:
        settings = _settings(place.scheme, silence)
        system, base = url_to_fs(place.url, skip_instance_cache=True, **settings)
    except ImportError as error:
        raise MissingError(
            f"'{place.scheme}' needs a package that is not installed: {error}.",
            f"Install it with: {install('stores')}"
            if place.scheme in ours
            else "Install it into the environment that lrn-deploy runs in.",
        ) from error
    except Exception as error:
        raise refusal(error, place) from (None if place.secrets else error)
    if place.scheme in _S3:
        system.retries = 1  # trying again is done here, where broken and silent are two things
    return system, base


def _settings(scheme: str, silence: float) -> dict[str, Any]:
    """How long is waited for, and for what; what else can be set is fsspec's to be configured."""
    from fsspec.config import conf

    if scheme in _S3:
        ours = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": silence,
            "retries": {"total_max_attempts": 1},
        }
        theirs = {**conf.get("s3a", {}), **conf.get("s3", {})}.get("config_kwargs", {})
        return {"config_kwargs": ours | theirs}
    if scheme in ("http", "https"):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence)
        headers = {"Accept-Encoding": "identity"}  # ranges are of the file, not of a packed one
        return {"client_kwargs": {"timeout": timeout, "headers": headers}}
    return {}
