"""Regions of files that a client owns: what it may cut short, hold open or pass off as memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.inference import Place
from lrn_deploy.serving.protocol import shared_memory
from lrn_deploy.serving.protocol.shared_memory import SharedMemory


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where objects lie, with one of 100 bytes."""
    monkeypatch.setattr(shared_memory, "_FOLDER", tmp_path)
    (tmp_path / "ours").write_bytes(bytes(range(100)))
    return tmp_path


@pytest.fixture
def memory(folder: Path) -> Iterator[SharedMemory]:
    assert folder.is_dir()
    regions = SharedMemory(enabled=True)
    yield regions
    regions.unregister()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_region_is_read_and_written_from_its_own_beginning(
    memory: SharedMemory, folder: Path
) -> None:
    memory.register("r", "/ours", 10, 90)
    assert memory.read(Place("r", 5, 3), 3, "x") == bytes([15, 16, 17])
    memory.write(Place("r", 80, 10), b"0123456789", "y")
    assert (folder / "ours").read_bytes()[88:] == bytes([88, 89]) + b"0123456789"


def test_what_is_refused_leaves_no_file_open(memory: SharedMemory) -> None:
    memory.register("r", "/ours", 0, 100)
    before = open_files()
    for name, offset, size in (("r", 0, 100), ("s", 0, 101), ("s", 1, 100), ("s", 0, 0)):
        with pytest.raises(InvalidRequestError):
            memory.register(name, "/ours", offset, size)
    assert open_files() == before


def test_what_is_unregistered_leaves_no_file_open(memory: SharedMemory) -> None:
    before = open_files()
    for name in "abc":
        memory.register(name, "/ours", 0, 100)
    assert open_files() == before + 3
    memory.unregister("b")
    assert open_files() == before + 2
    memory.unregister()
    assert open_files() == before
    assert memory.status() == []


def test_an_answer_does_not_let_a_region_grow_that_was_cut_short(
    memory: SharedMemory, folder: Path
) -> None:
    memory.register("r", "/ours", 10, 90)
    os.truncate(folder / "ours", 30)
    with pytest.raises(InvalidRequestError, match="cut short"):
        memory.write(Place("r", 16, 8), b"12345678", "y")
    with pytest.raises(InvalidRequestError, match="cut short"):
        memory.read(Place("r", 16, 8), 8, "x")
    assert (folder / "ours").stat().st_size == 30
    memory.write(Place("r", 12, 8), b"12345678", "y")  # up to its last byte
    assert (folder / "ours").read_bytes()[20:] == bytes([20, 21]) + b"12345678"


def test_only_files_are_memory(memory: SharedMemory, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("ours")
    before = open_files()
    for name in ("pipe", "folder", "link"):
        with pytest.raises(InvalidRequestError):
            memory.register("r", f"/{name}", 0, 1)
    assert open_files() == before


def test_a_region_has_one_byte_at_least_and_ends_with_its_object(memory: SharedMemory) -> None:
    memory.register("first", "/ours", 0, 1)
    memory.register("last", "/ours", 99, 1)
    memory.register("whole", "ours", 0, 100)
    assert memory.read(Place("last", 0, 1), 1, "x") == bytes([99])
    for offset, size in ((100, 1), (0, 101), (99, 2), (0, 0), (200, 1)):
        with pytest.raises(InvalidRequestError, match="has 100 bytes; a region must lie within"):
            memory.register("more", "/ours", offset, size)
