"""What fetching bundles leaves on this machine, and processes that fetch one."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.support.warm import Warmed

FETCH = "import sys; from lrn_deploy.stores import local_bundle; print(local_bundle(sys.argv[1]))"


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def leftovers(cache: Path) -> list[Path]:
    """What is neither a whole file nor a whole bundle."""
    found = [*cache.glob("unfinished/*"), *cache.glob("work/*"), *cache.glob("bundles/.tmp-*")]
    for path in cache.glob("sha256/*/*"):
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
            found.append(path)
    return found


def came(cache: Path) -> int:
    """Bytes of what is not whole yet."""
    return sum(path.stat().st_size for path in cache.glob("unfinished/*"))


def names(paths: list[str]) -> list[str]:
    """What was asked for, without bucket and prefix."""
    return [path.rpartition("/")[2] for path in paths]


def fetching(url: str) -> subprocess.Popen[str]:
    """A process of its own that fetches a bundle."""
    return Warmed([sys.executable, "-c", FETCH, url], stdout=subprocess.PIPE, text=True)
