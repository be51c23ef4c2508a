"""Bundles copied to a store and from there: the manifest comes last, so nothing is half there."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lrn_deploy.bundle import MANIFEST, Bundle, FileRecord, new_bundle, read_manifest, write_atomic
from lrn_deploy.bundle import writing as writing_to
from lrn_deploy.errors import BadInputError, DamagedError, LrnDeployError
from lrn_deploy.progress import Progress, silent
from lrn_deploy.stores.cache import Cache
from lrn_deploy.stores.fetch import MOST_MANIFEST, fetch, files_of
from lrn_deploy.stores.place import Place
from lrn_deploy.stores.remote import Remote

_MIB = 2**20


@dataclass(frozen=True)
class Pushed:
    """What is at a URL now.

    Attributes:
        url: Without secrets.
        sha256: Of the manifest: what a pin says.
        files: How many were sent, the manifest included.
        size: How many bytes they have together.
    """

    url: str
    sha256: str
    files: int
    size: int

    @property
    def pinned(self) -> str:
        """The place as whoever is to run just this bundle writes it."""
        return f"{self.url}#sha256={self.sha256}"


def push(folder: Path, url: str, *, force: bool = False, progress: Progress = silent) -> Pushed:
    """Copy a bundle to a URL: its files first, then its manifest.

    A file that the bundle there has already is not sent again. Where another bundle is replaced,
    its manifest is taken away first: until the new one is there, there is none.

    Args:
        folder: The bundle; every file is checked before the first is sent.
        url: Where to: the folder-to-be itself.
        force: Replace another bundle that is there.
        progress: Told what is sent, and how many MiB of how many have been.

    Raises:
        BadInputError: If there is no bundle, or another one at the URL, or the store does not let
            us write there.
        DamagedError: If a file of the bundle is not what its manifest says.
        MissingError: If the store cannot be reached, or what writes there is not installed.
    """
    place = Place.read(url)
    _check_target(place)
    bundle = Bundle.open(folder)
    files = files_of(bundle.manifest, str(folder))
    for record in files:
        bundle.read(record)
    data = (folder / MANIFEST).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    remote = Remote(place, upload=True)
    there = remote.small(MANIFEST, MOST_MANIFEST)
    if there == data:
        return Pushed(place.shown, digest, 0, 0)
    if there is not None and not force:
        raise BadInputError(
            f"'{place.shown}' already holds a bundle.",
            "Add --force to replace it, or choose another URL.",
        )
    known = _files_there(there, place)
    if there is not None:
        remote.remove(MANIFEST)
    sent = [record for record in files if record not in known]
    try:
        _send(remote, folder, sent, progress)
        remote.put(folder / MANIFEST, MANIFEST)
    except LrnDeployError as error:
        error.hint = f"{error.hint} No bundle is there until push has run to its end.".strip()
        raise
    names = {record.file for record in files}
    for record in known:
        if record.file not in names:  # of the bundle that was there before
            remote.remove(record.file)
    return Pushed(
        place.shown, digest, len(sent) + 1, sum(record.size for record in sent) + len(data)
    )


def pull(url: str, folder: Path, *, force: bool = False, progress: Progress = silent) -> Bundle:
    """Copy a bundle from a URL to a folder that may be changed.

    Args:
        url: Where it is; its pin is heeded.
        folder: Where to.
        force: Replace a bundle that is there.
        progress: As :func:`local_bundle` tells it.

    Raises:
        LrnDeployError: As :func:`lrn_deploy.stores.fetch.local_bundle` and
            :func:`lrn_deploy.bundle.new_bundle` do.
    """
    with new_bundle(folder, force=force) as made:
        fetched = fetch(Place.read(url), progress, Cache.default())
        for record in fetched.files:
            path = made / record.file
            with writing_to(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(fetched.cache.path(record.sha256), path)
        write_atomic(made / MANIFEST, fetched.data)
    return Bundle.open(folder)


def _check_target(place: Place) -> None:
    if place.scheme in ("http", "https"):
        raise BadInputError(
            f"Nothing can be pushed to '{place.shown}': HTTP has no way to write a file.",
            "Push to the store that is behind it, s3:// for instance.",
        )
    if place.pin:
        raise BadInputError(
            "'#sha256=' says what is to be read, and this is to be written.", "Leave it out."
        )


def _files_there(manifest: bytes | None, place: Place) -> Sequence[FileRecord]:
    """What the bundle at the URL has; nothing is known of a damaged one."""
    if manifest is None:
        return []
    try:
        return files_of(read_manifest(manifest, place.shown), place.shown)
    except (BadInputError, DamagedError):
        return []


def _send(remote: Remote, folder: Path, sent: Sequence[FileRecord], progress: Progress) -> None:
    total = max(sum(record.size for record in sent) // _MIB, 1)
    done = 0
    for record in sent:
        progress(f"sending {record.file}", done // _MIB, total)
        remote.put(folder / record.file, record.file)
        done += record.size
    progress(f"sending {MANIFEST}", done // _MIB, total)
