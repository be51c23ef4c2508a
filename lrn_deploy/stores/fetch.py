"""A folder of a URL: its manifest read, each file that is not here yet fetched, all checked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lrn_deploy.bundle import MANIFEST, FileRecord, Manifest, named_files, read_manifest
from lrn_deploy.errors import BadInputError, CannotWriteError, DamagedError
from lrn_deploy.progress import Progress, silent
from lrn_deploy.stores.cache import VARIABLE, Cache
from lrn_deploy.stores.folders import compose, copied, inside
from lrn_deploy.stores.place import Place, is_url
from lrn_deploy.stores.refusals import AbsentError
from lrn_deploy.stores.remote import Remote

MOST_MANIFEST = 2**26  # bytes; AlexNet's has 10,000
_MIB = 2**20


def local_bundle(place: str, progress: Progress = silent, *, cache: Cache | None = None) -> Path:
    """The folder of a bundle, whose every file is as its manifest says.

    What was fetched before is not fetched again, and of a place with a pin not even its manifest.

    Args:
        place: A folder, which is given back as it is; or a URL, ``s3://bucket/path`` for instance,
            and ``#sha256=`` with the digest that its manifest must have.
        progress: Told what is fetched, and how many MiB of how many are there.
        cache: Where to keep what is fetched; None: where the environment says.

    Returns:
        A folder to read from; what is written there is gone when it is fetched the next time.

    Raises:
        BadInputError: If there is no bundle, or the store does not let us read it.
        MissingError: If there are no credentials, the store cannot be reached or is silent, or
            what reads it is not installed.
        DamagedError: If a file is not what the manifest says, or the manifest not what was pinned.
        CannotWriteError: If there is no room; nothing half-written is left.
    """
    if not is_url(place):
        return Path(place)
    fetched = fetch(Place.read(place), progress, cache or Cache.default())
    return compose(fetched.cache, fetched.record, fetched.files)


@contextmanager
def working_copy(place: str, progress: Progress = silent) -> Iterator[Path]:
    """The bundle as :func:`local_bundle` gives it; of a URL a copy, for what writes reports.

    Raises:
        LrnDeployError: As :func:`local_bundle` does.
    """
    folder = local_bundle(place, progress)
    if not is_url(place):
        yield folder
        return
    with copied(Cache.default(), folder) as copy:
        yield copy


class Fetched:
    """A bundle whose files the cache has.

    Attributes:
        cache: Where they are.
        data: Bytes of its manifest.
        record: Of its manifest's file.
        files: Records of its other files, each once.
    """

    def __init__(
        self, cache: Cache, data: bytes, record: FileRecord, files: Sequence[FileRecord]
    ) -> None:
        self.cache = cache
        self.data = data
        self.record = record
        self.files = files


def fetch(place: Place, progress: Progress, cache: Cache) -> Fetched:
    """Fetch every file of a bundle that the cache does not have.

    Raises:
        LrnDeployError: As :func:`local_bundle` does.
    """
    remote: Remote | None = None
    data = cache.read(place.pin) if place.pin else None
    if data is None:
        remote = Remote(place)
        data = _manifest_bytes(remote)
    files = files_of(read_manifest(data, place.shown), place.shown)
    wanted = [record for record in files if not cache.holds(record)]
    if wanted:
        remote = remote or Remote(place)
        _fetch_all(remote, wanted, cache, progress)
    return Fetched(cache, data, cache.keep(data), files)


def files_of(manifest: Manifest, where: str) -> list[FileRecord]:
    """All files that a manifest names, each once.

    Raises:
        DamagedError: If one has no digest, lies outside the bundle, or is said to be two.
    """
    found: dict[str, FileRecord] = {}
    for record in named_files(manifest):
        name = inside(record.file)
        plain = FileRecord(file=name, sha256=record.sha256, size=record.size)
        right = re.fullmatch("[0-9a-f]{64}", plain.sha256) and plain.size >= 0
        if not right or found.setdefault(name, plain) != plain:
            raise DamagedError(
                f"The manifest of '{where}' is damaged: what it says of '{name}' cannot be.",
                "Export the bundle again, and push it.",
            )
    return list(found.values())


def _manifest_bytes(remote: Remote) -> bytes:
    place = remote.place
    data = remote.small(MANIFEST, MOST_MANIFEST)
    if data is None:
        raise BadInputError(
            f"'{place.shown}' is no bundle: it has no {MANIFEST}.",
            "Look for a slip in the URL. An upload that is under way, or broke off, has none "
            "either: 'lrn-deploy push' writes it last.",
        )
    if place.pin and (digest := hashlib.sha256(data).hexdigest()) != place.pin:
        raise DamagedError(
            f"The {MANIFEST} of '{place.shown}' is not the one that was asked for: its SHA-256 is "
            f"{digest[:12]}…, and not {place.pin[:12]}….",
            "The bundle there is another one now: ask for its digest, or leave '#sha256=' out.",
        )
    return data


def _fetch_all(
    remote: Remote, wanted: Sequence[FileRecord], cache: Cache, progress: Progress
) -> None:
    place = remote.place
    total = sum(record.size for record in wanted)
    if cache.free() < total:
        raise CannotWriteError(
            f"'{place.shown}' needs {total / 1e6:.1f} MB in '{cache.root}', which has "
            f"{cache.free() / 1e6:.1f} MB left.",
            f"Free some space there, or name another folder in {VARIABLE}.",
        )
    done = 0
    for record in wanted:

        def told(count: int, record: FileRecord = record, before: int = done) -> None:
            progress(f"fetching {record.file}", (before + count) // _MIB, max(total // _MIB, 1))

        cache.add(record, _reading(remote, record), told, f"{place.shown}/{record.file}")
        done += record.size


def _reading(remote: Remote, record: FileRecord) -> Callable[[int], Iterator[bytes]]:
    """The bytes of a file from an offset on."""

    def read(start: int) -> Iterator[bytes]:
        try:
            yield from remote.pieces(record.file, start, record.size)
        except AbsentError as error:
            raise DamagedError(
                f"'{record.file}' of '{remote.place.shown}' is not there, though its manifest "
                "names it.",
                "The upload may have broken off: run 'lrn-deploy push' again.",
            ) from error

    return read
