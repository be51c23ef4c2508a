"""A server confined as its packaged unit confines it, and what systemd hears of it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrn_deploy.package.systemd import _UNIT
from tests.support.image_bundles import colour_bundle, picture
from tests.support.servers import Running, serving

CONFINED = Path(__file__).parents[1] / "support" / "confined.py"
TRIES = """
import errno, mmap, os, sys
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    raise SystemExit("memory can be written and run")
except PermissionError:
    pass
try:
    os.chroot("/")
    raise SystemExit("a call that is not allowed is made")
except PermissionError:
    pass
from lrn_deploy.lrn_server import main
main()
"""
"""A server that is confined, and shows it first: root could do both."""
START = [sys.executable, str(CONFINED), sys.executable, "-c", TRIES]

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="apt-get install systemd"
)


def allowed() -> set[str]:
    """The system calls that the unit allows, by systemd's own lists."""
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter"],
        capture_output=True,
        text=True,
        check=True,
    )
    groups: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        word = line.strip()
        if line.startswith("@"):
            members = groups[word] = []
        elif word and not word.startswith("#"):
            members.append(word)

    def calls(group: str) -> set[str]:
        return {
            call
            for member in groups[group]
            for call in (calls(member) if member.startswith("@") else {member})
        }

    lines = re.findall(r"^SystemCallFilter=(~?)(@\S+)$", _UNIT, re.MULTILINE)
    assert [sign for sign, _ in lines] == ["", "~"]
    return calls(lines[0][1]) - calls(lines[1][1])


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[socket.socket]:
    """What systemd would hear."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path_factory.mktemp("systemd") / "notify"))
        line.settimeout(10)
        yield line


@pytest.fixture(scope="module")
def running(heard: socket.socket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("served")
    colour_bundle(folder / "colours")
    told = {"ALLOWED": " ".join(sorted(allowed()))}
    told |= {"NOTIFY_SOCKET": heard.getsockname(), "WATCHDOG_USEC": "30000000"}
    try:
        with serving(folder / "colours", start=START, env={**os.environ, **told}) as server:
            yield server
    except RuntimeError as error:
        if "the kernel cannot" in str(error):
            pytest.skip("needs Linux 6.3")
        raise


def words(line: socket.socket, last: str) -> list[str]:
    """All that is heard until a word."""
    found = [line.recv(64).decode()]
    while found[-1] != last:
        found.append(line.recv(64).decode())
    return found


def test_it_answers_though_it_may_do_little(running: Running) -> None:
    reply = running.call("POST", "/v1/classify?top=1", picture("red"))
    assert reply.content["results"][0]["predictions"][0]["label"] == "red"


def test_systemd_hears_that_it_is_ready_lives_and_ends(
    running: Running, heard: socket.socket
) -> None:
    assert "READY=1" in words(heard, "READY=1")
    words(heard, "WATCHDOG=1")  # and again
    words(heard, "WATCHDOG=1")
    running.process.terminate()
    assert set(words(heard, "STOPPING=1")) <= {"WATCHDOG=1", "STOPPING=1"}
    assert running.finish() == 0
