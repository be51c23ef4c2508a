"""What systemd is told, as it would hear it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrn_deploy.serving import systemd


@pytest.fixture(params=["in a folder", "in no folder"])
def heard(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A socket where systemd would listen."""
    hidden = request.param == "in no folder"
    address = f"@lrn-server-{tmp_path.name}" if hidden else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(address.replace("@", "\0", 1) if hidden else address)
        line.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield line


def test_it_hears_what_it_is_told(heard: socket.socket) -> None:
    systemd.tell(systemd.READY)
    systemd.tell(systemd.STOPPING)
    assert [heard.recv(64), heard.recv(64)] == [b"READY=1", b"STOPPING=1"]


def test_signs_of_life_are_for_who_waits_for_them(
    heard: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd.tell(systemd.ALIVE)
    with pytest.raises(BlockingIOError):
        heard.recv(64)
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    systemd.tell(systemd.ALIVE)
    assert heard.recv(64) == b"WATCHDOG=1"


def test_nobody_to_tell_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.tell(systemd.READY)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.tell(systemd.READY)
