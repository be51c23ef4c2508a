"""Networks of the zoo that many tests begin with, each exported once a run and then copied."""

from __future__ import annotations

import atexit
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lrn_deploy.bundle import Bundle
from lrn_deploy.export import ExportOptions, export_bundle


def exported(network: str, path: Path, *, uint8_input: bool = False) -> Bundle:
    """The bundle of a network, at a path where there is nothing yet; it may be changed."""
    return Bundle.open(shutil.copytree(_made(network, uint8_input), path))


@functools.cache
def _made(network: str, uint8_input: bool) -> Path:
    """The folder that is copied: exported by whichever worker of the run comes first."""
    options = ExportOptions(network, uint8_input=uint8_input)
    kind = "uint8" if uint8_input else "float"
    return made_once(f"{kind}/{network}", lambda path: export_bundle(options, path))


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """A folder that nobody may change, made once a run and under this name."""
    folder = _home() / name
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            make(folder)
    return folder


@functools.cache
def _home() -> Path:
    """A folder of all workers, which the last of them removes: the one that can lock it alone."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"process-{os.getpid()}")
    folder = Path(tempfile.gettempdir()) / f"lrn-deploy-exported-{run}"
    folder.mkdir(exist_ok=True)
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)

    def leave() -> None:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(leave)
    return folder
