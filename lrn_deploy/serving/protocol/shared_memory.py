"""POSIX shared memory of callers on this machine: the protocol's extension, off unless asked for.

Regions are read and written through their file descriptors, not mapped: a caller that shortens its
region then gets an error, where a mapping would end the server with SIGBUS; and tensors are copies,
so what was checked is what runs.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrn_deploy.serving.errors import InvalidRequestError, NotFoundError, UnsupportedError
from lrn_deploy.serving.inference import Place
from lrn_deploy.serving.protocol.parameters import field, whole

_FOLDER = Path("/dev/shm")  # noqa: S108 - where Linux has what shm_open opens
_REGION = "shared_memory_region"


def place_of(parameters: dict[str, Any]) -> Place | None:
    """Where the parameters of a tensor say that it lies; None if it travels in the message.

    Raises:
        InvalidRequestError: If they are malformed.
    """
    if _REGION not in parameters:
        return None
    return Place(
        field(parameters, _REGION, str, None),
        whole(parameters, "shared_memory_offset"),
        whole(parameters, "shared_memory_byte_size"),
    )


def parameters_of(place: Place) -> dict[str, Any]:
    """What :func:`place_of` reads, as an answer says it."""
    offset = {"shared_memory_offset": place.offset} if place.offset else {}
    return {_REGION: place.region, "shared_memory_byte_size": place.size, **offset}


@dataclass(frozen=True)
class _Region:
    key: str
    offset: int
    size: int
    descriptor: int


class SharedMemory:
    """The regions that callers have registered. Thread-safe.

    Args:
        enabled: Whether there may be any.
    """

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._regions: dict[str, _Region] = {}
        self._lock = threading.Lock()

    def register(self, name: str, key: str, offset: int, size: int) -> None:
        """Make part of a shared memory object known as a region.

        Args:
            name: Name of the region.
            key: What ``shm_open`` calls the object.
            offset: Where in the object the region begins, in bytes.
            size: Its length in bytes.

        Raises:
            InvalidRequestError: If there is such a region, or no such object, or not so large.
            UnsupportedError: If shared memory is switched off.
        """
        self.require()
        file = key.removeprefix("/")
        if not file or "/" in file or "\0" in file or file in (".", ".."):
            raise InvalidRequestError(f"'{key[:100]}' is no name of a shared memory object.")
        try:
            descriptor = os.open(_FOLDER / file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise InvalidRequestError(
                f"The shared memory object '{key}' cannot be opened: {error.strerror}."
            ) from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or not 0 < size <= found.st_size - offset:
                raise InvalidRequestError(
                    f"The shared memory object '{key}' has {found.st_size} bytes; a region must "
                    f"lie within, got {size} bytes from {offset}."
                )
            with self._lock:
                if name in self._regions:
                    raise InvalidRequestError(
                        f"The shared memory region '{name}' is registered already; "
                        "unregister it first."
                    )
                self._regions[name] = _Region(key, offset, size, descriptor)
        except InvalidRequestError:
            os.close(descriptor)
            raise

    def unregister(self, name: str = "") -> None:
        """Forget a region, or all of them; one that is not there is no error."""
        self.require()
        with self._lock:
            for listed in [name] if name else list(self._regions):
                region = self._regions.pop(listed, None)
                if region is not None:
                    os.close(region.descriptor)

    def status(self, name: str = "") -> list[dict[str, Any]]:
        """What is known of a region, or of all.

        Raises:
            NotFoundError: If there is no region ``name``.
        """
        self.require()
        with self._lock:
            if name and name not in self._regions:
                raise NotFoundError(f"There is no shared memory region '{name}'.")
            return [
                {
                    "name": listed,
                    "key": region.key,
                    "offset": region.offset,
                    "byte_size": region.size,
                }
                for listed, region in self._regions.items()
                if name in ("", listed)
            ]

    def read(self, place: Place, size: int, tensor: str) -> bytes:
        """A copy of the ``size`` bytes that a tensor has.

        Raises:
            InvalidRequestError: If the place has another size, or is not within a region.
        """
        if place.size != size:
            raise InvalidRequestError(
                f"Input '{tensor}' takes {size} bytes, shared_memory_byte_size is {place.size}."
            )
        with self._lock:
            region = self._within(place)
            content = b""
            with suppress(OSError):
                content = os.pread(region.descriptor, size, region.offset + place.offset)
        if len(content) != size:
            raise InvalidRequestError(f"The shared memory region '{place.region}' was cut short.")
        return content

    def write(self, place: Place, content: bytes, tensor: str) -> None:
        """Put an output where its caller wants it.

        Raises:
            InvalidRequestError: If it does not fit, or the place is not within a region.
        """
        if len(content) > place.size:
            raise InvalidRequestError(
                f"Output '{tensor}' has {len(content)} bytes, "
                f"shared_memory_byte_size is {place.size}."
            )
        with self._lock:
            region = self._within(place)
            end = region.offset + place.offset + len(content)
            if os.fstat(region.descriptor).st_size < end:
                raise InvalidRequestError(
                    f"The shared memory region '{place.region}' was cut short."
                )
            os.pwrite(region.descriptor, content, region.offset + place.offset)

    def check(self, places: Iterable[Place | None]) -> None:
        """Refuse a place that is not within a region; None is nowhere and right.

        Raises:
            InvalidRequestError: If one is not.
        """
        for place in places:
            if place is not None:
                with self._lock:
                    self._within(place)

    def require(self) -> None:
        """Refuse everything if shared memory is switched off.

        Raises:
            UnsupportedError: If it is.
        """
        if not self.enabled:
            raise UnsupportedError("Shared memory is switched off on this server.")

    def _within(self, place: Place) -> _Region:
        if not self.enabled:
            raise InvalidRequestError("Shared memory is switched off on this server.")
        region = self._regions.get(place.region)
        if region is None:
            raise InvalidRequestError(f"There is no shared memory region '{place.region}'.")
        if place.offset + place.size > region.size:
            raise InvalidRequestError(
                f"The shared memory region '{place.region}' has {region.size} bytes; "
                f"{place.size} from {place.offset} do not lie within."
            )
        return region


OFF = SharedMemory(enabled=False)
"""For codecs that are called without any."""
