"""What a manifest says of its files, before any of them is asked for; and what is told then."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.bundle import FileRecord, sha256
from lrn_deploy.errors import BadInputError, CannotWriteError, DamagedError
from lrn_deploy.progress import silent
from lrn_deploy.stores import transfer
from lrn_deploy.stores.cache import Cache
from lrn_deploy.stores.fetch import _fetch_all, files_of, local_bundle
from lrn_deploy.stores.place import Place
from lrn_deploy.stores.remote import Remote
from tests.support.image_bundles import colour_bundle

MIB = 2**20
HALF = b"x" * (MIB // 2)
CONTENTS = {"a.onnx": HALF * 3, "b.onnx": HALF * 5, "c": b"c"}
RECORDS = [
    FileRecord(file=name, sha256=sha256(CONTENTS[name]), size=len(CONTENTS[name]))
    for name in ("a.onnx", "b.onnx")
]


class Store:
    """Gives files half a MiB at a time."""

    place = Place.read("s3://nets/two")

    def pieces(self, name: str, start: int, end: int) -> Iterator[bytes]:
        for at in range(start, end, len(HALF)):
            yield CONTENTS[name][at : at + len(HALF)]

    def put(self, _file: Path, _name: str) -> None: ...


def test_what_has_come_is_told_in_mebibytes_of_all_that_is_to_come(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    store: Any = Store()
    _fetch_all(store, RECORDS, Cache(tmp_path), lambda *step: told.append(step))
    assert told == [
        *(("fetching a.onnx", done, 4) for done in (0, 0, 1, 1)),
        *(("fetching b.onnx", done, 4) for done in (1, 2, 2, 3, 3, 4)),
    ]
    told.clear()
    small = FileRecord(file="c", sha256=sha256(b"c"), size=1)
    _fetch_all(store, [small], Cache(tmp_path), lambda *step: told.append(step))
    assert told == [("fetching c", 0, 1)] * 2


def test_what_has_been_sent_is_told_likewise() -> None:
    told: list[tuple[str, int, int]] = []
    store: Any = Store()
    transfer._send(store, Path(), RECORDS, lambda *step: told.append(step))
    assert told == [
        ("sending a.onnx", 0, 4),
        ("sending b.onnx", 1, 4),
        ("sending manifest.json", 4, 4),
    ]
    told.clear()
    transfer._send(store, Path(), [], lambda *step: told.append(step))
    assert told == [("sending manifest.json", 0, 1)]


def test_what_there_is_no_room_for_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 4 * MIB
    monkeypatch.setattr(Cache, "free", lambda _: room)
    store: Any = Store()
    _fetch_all(store, RECORDS, Cache(tmp_path / "just"), silent)
    room = 4 * MIB - 100_000
    with pytest.raises(CannotWriteError, match=r"two' needs 4\.2 MB .*, which has 4\.1 MB left"):
        _fetch_all(store, RECORDS, Cache(tmp_path / "full"), silent)
    assert not (tmp_path / "full").exists()


@pytest.fixture
def pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> transfer.Pushed:
    monkeypatch.setenv("LRN_DEPLOY_CACHE", str(tmp_path / "cache"))
    bundle = colour_bundle(tmp_path / "colours")
    return transfer.push(bundle.path, f"file://{tmp_path}/store/colours")


def test_what_is_pinned_is_that_or_nothing(pushed: transfer.Pushed) -> None:
    other = f"{pushed.url}#sha256={'0' * 64}"
    with pytest.raises(
        DamagedError, match="is not the one that was asked for: its SHA-256"
    ) as found:
        local_bundle(other)
    assert pushed.sha256[:12] in found.value.message
    assert local_bundle(pushed.pinned) == local_bundle(pushed.url)


def test_what_is_pinned_and_here_asks_no_store(pushed: transfer.Pushed, tmp_path: Path) -> None:
    folder = local_bundle(pushed.pinned)
    shutil.rmtree(tmp_path / "store")
    assert local_bundle(pushed.pinned) == folder
    with pytest.raises(BadInputError, match="is no bundle: it has no manifest"):
        local_bundle(pushed.url)
    with pytest.raises(BadInputError, match="is no bundle"):  # nor has another cache anything
        local_bundle(pushed.pinned, cache=Cache(tmp_path / "other"))


def test_a_file_that_the_store_lacks_is_told(pushed: transfer.Pushed, tmp_path: Path) -> None:
    (tmp_path / "store/colours/model.onnx").unlink()
    with pytest.raises(DamagedError, match=r"'model\.onnx' of .* is not there, though its man"):
        local_bundle(pushed.url)


def test_no_manifest_is_larger_than_64_mebibytes(
    pushed: transfer.Pushed, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    small = Remote.small

    def seen(remote: Remote, name: str, most: int) -> bytes | None:
        asked.append((name, most))
        return small(remote, name, most)

    monkeypatch.setattr(Remote, "small", seen)
    local_bundle(pushed.url)
    assert asked == [("manifest.json", 64 * MIB)]


@pytest.mark.parametrize(
    ("size", "digest", "right"),
    [
        (0, sha256(b""), True),  # an empty file is a file
        (-1, sha256(b""), False),
        (1, sha256(b"a")[:-1], False),
        (1, sha256(b"a").upper(), False),
    ],
)
def test_files_have_a_digest_and_a_size(
    tmp_path: Path, size: int, digest: str, right: bool
) -> None:
    manifest = colour_bundle(tmp_path / "colours").manifest
    record = FileRecord(file="labels.txt", sha256=digest, size=size)
    manifest = manifest.model_copy(update={"labels": record})
    if right:
        assert record in files_of(manifest, "here")
        return
    with pytest.raises(DamagedError, match=r"what it says of 'labels\.txt' cannot be"):
        files_of(manifest, "here")
