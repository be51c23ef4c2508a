"""The cache: a file is kept when its digest is right, once, and by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.bundle import FileRecord
from lrn_deploy.errors import CannotWriteError, DamagedError, MissingError
from lrn_deploy.stores import cache as module
from lrn_deploy.stores import folders
from lrn_deploy.stores.cache import Cache
from lrn_deploy.stores.folders import compose, copied
from tests.support.sleepless import sleepless

DATA = bytes(range(256)) * 40


def record_of(data: bytes, name: str = "model.onnx") -> FileRecord:
    return FileRecord(file=name, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


RECORD = record_of(DATA)


class Source:
    """Bytes in pieces, which remembers from where it was asked for them."""

    def __init__(self, data: bytes = DATA, fail_at: int | None = None) -> None:
        self.data = data
        self.fail_at = fail_at
        self.asked: list[int] = []

    def __call__(self, start: int) -> Iterator[bytes]:
        self.asked.append(start)
        for at in range(start, len(self.data), 1000):
            if self.fail_at is not None and at >= self.fail_at:
                raise MissingError("The connection broke.")
            yield self.data[at : at + 1000]


def add(cache: Cache, source: Source, record: FileRecord = RECORD) -> list[int]:
    told: list[int] = []
    cache.add(record, source, told.append, "s3://b/x/model.onnx")
    return told


def unfinished(cache: Cache) -> list[str]:
    return sorted(path.name for path in (cache.root / "unfinished").iterdir())


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_a_file_is_kept_under_its_digest_and_cannot_be_written(cache: Cache) -> None:
    assert not cache.holds(RECORD)
    told = add(cache, Source())
    assert cache.holds(RECORD)
    assert cache.path(RECORD.sha256).read_bytes() == DATA
    assert cache.path(RECORD.sha256).stat().st_mode & 0o777 == 0o444
    assert (told[0], told[-1]) == (0, len(DATA))
    assert told == sorted(told)
    assert unfinished(cache) == []


def test_what_broke_off_goes_on_where_it_stopped(cache: Cache) -> None:
    with pytest.raises(MissingError):
        add(cache, Source(fail_at=4000))
    assert unfinished(cache) == [RECORD.sha256]
    again = Source()
    assert add(cache, again)[0] == 4000
    assert again.asked == [4000]
    assert cache.path(RECORD.sha256).read_bytes() == DATA


def test_what_is_there_is_not_fetched_again(cache: Cache) -> None:
    add(cache, Source())
    again = Source()
    assert add(cache, again) == []
    assert again.asked == unfinished(cache) == []


def test_more_than_there_can_be_is_no_beginning(cache: Cache) -> None:
    (cache.root / "unfinished").mkdir(parents=True)
    (cache.root / "unfinished" / RECORD.sha256).write_bytes(DATA + b"more")
    again = Source()
    assert add(cache, again)[0] == 0
    assert again.asked == [0]
    assert cache.holds(RECORD)


def test_of_what_never_came_nothing_is_left(cache: Cache) -> None:
    with pytest.raises(MissingError):
        add(cache, Source(fail_at=0))
    assert unfinished(cache) == []


@pytest.mark.parametrize("size", [1, 4000])
def test_a_torn_rest_is_fetched_anew(cache: Cache, size: int) -> None:
    with pytest.raises(MissingError):
        add(cache, Source(fail_at=4000))
    partial = cache.root / "unfinished" / RECORD.sha256
    partial.write_bytes(b"x" * size)  # as a power cut leaves it
    again = Source()
    add(cache, again)
    assert again.asked == [size, 0]
    assert cache.path(RECORD.sha256).read_bytes() == DATA


def test_what_had_come_to_its_end_is_only_looked_at(cache: Cache) -> None:
    (cache.root / "unfinished").mkdir(parents=True)
    (cache.root / "unfinished" / RECORD.sha256).write_bytes(DATA)
    again = Source()
    assert add(cache, again) == [len(DATA)]
    assert again.asked == []
    assert cache.holds(RECORD)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (DATA[:-1] + b"x", "SHA-256"),
        (DATA[:-1], "has 10239 bytes"),
        (b"", "has 0 bytes"),
    ],
)
def test_wrong_bytes_are_refused_and_nothing_of_them_is_kept(
    cache: Cache, other: bytes, said: str
) -> None:
    source = Source(other)
    with pytest.raises(DamagedError, match=said) as caught:
        add(cache, source)
    assert source.asked == [0]
    assert "model.onnx" in str(caught.value)
    assert not cache.holds(RECORD)
    assert unfinished(cache) == []
    add(cache, Source())  # the right ones are taken afterwards
    assert cache.holds(RECORD)


def test_a_kept_file_that_rotted_is_dropped(cache: Cache) -> None:
    add(cache, Source())
    path = cache.path(RECORD.sha256)
    path.chmod(0o644)
    path.write_bytes(DATA[:-1] + b"x")
    assert cache.read(RECORD.sha256) is None
    assert not cache.holds(RECORD)
    assert not path.exists()


def test_another_process_is_waited_for_and_its_file_taken(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is held here; when it is let go, the file is there."""
    slept = sleepless(monkeypatch, module)
    with pytest.raises(MissingError):
        add(cache, Source(fail_at=1000))
    partial = cache.root / "unfinished" / RECORD.sha256
    other = FileIO(partial, "a+")
    fcntl.flock(other, fcntl.LOCK_EX)
    source, waiting, told = Source(), threading.Event(), []

    def tell(count: int) -> None:
        told.append(count)
        waiting.set()

    with ThreadPoolExecutor(1) as pool:
        added = pool.submit(cache.add, RECORD, source, tell, "x")
        assert waiting.wait(10)
        other.write(DATA[1000:])
        partial.replace(cache.path(RECORD.sha256))
        other.close()
        assert added.result(10) is None
    assert set(slept) == {0.05}
    assert source.asked == []
    assert told[0] == 1000
    assert cache.holds(RECORD)
    assert unfinished(cache) == []


def test_a_process_that_gave_up_leaves_the_rest_to_the_next(cache: Cache) -> None:
    with pytest.raises(MissingError):
        add(cache, Source(fail_at=2000))
    partial = cache.root / "unfinished" / RECORD.sha256
    other = FileIO(partial, "a+")
    fcntl.flock(other, fcntl.LOCK_EX)
    source, waiting = Source(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        added = pool.submit(cache.add, RECORD, source, lambda _: waiting.set(), "x")
        assert waiting.wait(10)
        partial.unlink()  # as a full disk has it do
        other.close()
        assert added.result(10) is None
    assert source.asked == [0]
    assert cache.holds(RECORD)


@pytest.mark.parametrize("room", [0, 1])
def test_a_full_disk_leaves_nothing(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    written: list[int] = []

    class Full(FileIO):
        def write(self, data: Any) -> int:
            if len(written) >= room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written.append(super().write(data))
            return written[-1]

    monkeypatch.setattr(module, "FileIO", Full)
    with pytest.raises(CannotWriteError, match="No space left on device") as caught:
        add(cache, Source())
    assert caught.value.exit_code == 5
    assert "LRN_DEPLOY_CACHE" in caught.value.hint
    assert unfinished(cache) == []
    assert not cache.path(RECORD.sha256).exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotWriteError, match="Cannot keep"):
        add(Cache(tmp_path / "file"), Source())


@pytest.mark.parametrize(
    ("variables", "root"),
    [
        ({"LRN_DEPLOY_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/lrn-deploy"),
        ({"HOME": "/home/me"}, "/home/me/.cache/lrn-deploy"),
    ],
)
def test_the_environment_says_where_it_is(
    variables: dict[str, str], root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LRN_DEPLOY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Cache.default().root == Path(root)


def test_a_user_without_a_home_is_told_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("LRN_DEPLOY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(CannotWriteError, match="no folder for what is fetched") as caught:
        Cache.default()
    assert "LRN_DEPLOY_CACHE" in caught.value.hint


def test_room_is_that_of_the_disk_which_the_folder_is_to_be_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = {tmp_path: 12, tmp_path / "there": 34}
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(100, 50, usage[folder])
    )
    (tmp_path / "there").mkdir()
    assert Cache(tmp_path / "there").free() == 34
    assert Cache(tmp_path / "new" / "cache").free() == 12


MANIFEST = record_of(b"{}", "manifest.json")


@pytest.fixture
def filled(cache: Cache) -> Cache:
    cache.keep(b"{}")
    add(cache, Source())
    return cache


def test_a_bundle_is_a_folder_of_links(filled: Cache) -> None:
    other = RECORD.model_copy(update={"file": "variants/a.onnx"})
    folder = compose(filled, MANIFEST, [RECORD, other])
    assert folder.name == MANIFEST.sha256
    assert (folder / "manifest.json").read_bytes() == b"{}"
    assert (folder / "model.onnx").samefile(folder / "variants/a.onnx")
    assert (folder / "model.onnx").samefile(filled.path(RECORD.sha256))
    before = folder.stat().st_ino
    assert compose(filled, MANIFEST, [RECORD, other]) == folder
    assert folder.stat().st_ino == before  # not made again


def test_one_that_is_whole_is_neither_read_nor_made_again(
    filled: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = compose(filled, MANIFEST, [RECORD])
    monkeypatch.setattr(folders, "digest_of", lambda _: pytest.fail("it was read"))
    monkeypatch.setattr(folders.tempfile, "mkdtemp", lambda **_: pytest.fail("it was made"))
    assert compose(filled, MANIFEST, [RECORD]) == folder


def test_one_that_another_process_has_made_meanwhile_stays(
    filled: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = compose(filled, MANIFEST, [RECORD])
    before = folder.stat().st_ino
    whole, looked = folders._is_made_of, list[bool]()

    def at_first_not(*given: Any) -> bool:
        looked.append(whole(*given))
        return looked[-1] and len(looked) > 1

    monkeypatch.setattr(folders, "_is_made_of", at_first_not)
    assert compose(filled, MANIFEST, [RECORD]).stat().st_ino == before
    assert looked == [True, True]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_nobody_else_looks_into_the_cache(filled: Cache) -> None:
    """Who serves a bundle may be another user: its folder can be read by whoever is let in."""
    folder = compose(filled, MANIFEST, [RECORD])
    with copied(filled, folder):
        places = ("unfinished", "bundles", "work", f"sha256/{RECORD.sha256[:2]}")
        modes = [(filled.root / place).stat().st_mode & 0o777 for place in places]
    assert modes == [0o700] * 4
    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_changed_folder_is_made_again_and_its_reader_goes_on(filled: Cache) -> None:
    folder = compose(filled, MANIFEST, [RECORD])
    reader = FileIO(folder / "manifest.json")
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_text("changed")
    assert compose(filled, MANIFEST, [RECORD]) == folder
    assert (folder / "manifest.json").read_bytes() == b"{}" == reader.read()
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]


def test_without_hard_links_files_are_copied(
    filled: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)
    folder = compose(filled, MANIFEST, [RECORD])
    assert (folder / "model.onnx").read_bytes() == DATA
    before = folder.stat().st_ino
    assert compose(filled, MANIFEST, [RECORD]).stat().st_ino == before
    (folder / "model.onnx").write_bytes(DATA[::-1])
    assert compose(filled, MANIFEST, [RECORD]).joinpath("model.onnx").read_bytes() == DATA


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "manifest.json", "a\0b"])
def test_no_file_lies_outside_its_bundle(filled: Cache, name: str) -> None:
    with pytest.raises(DamagedError, match="outside the bundle"):
        compose(filled, MANIFEST, [RECORD.model_copy(update={"file": name})])
    assert not (filled.root / "bundles").exists()


def test_a_copy_can_be_changed_and_goes_away(filled: Cache) -> None:
    folder = compose(filled, MANIFEST, [RECORD])
    with copied(filled, folder) as copy:
        (copy / "model.onnx").unlink()
        (copy / "reports").mkdir()
    assert not copy.exists()
    assert (folder / "model.onnx").read_bytes() == DATA


def test_no_half_of_a_folder_is_left(filled: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(CannotWriteError, match="No space left"):
        compose(filled, MANIFEST, [RECORD])
    assert list((filled.root / "bundles").iterdir()) == []
