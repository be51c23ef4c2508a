"""lrn-server with planted leaks: ``python -m benchmarks.soak.leaky memory=65536+files BUNDLE …``.

``memory`` keeps so many bytes of every request; ``files`` leaves a file open, and ``threads`` a
thread waiting, at each so-manieth.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from lrn_deploy.lrn_server import main as serve
from lrn_deploy.serving.service import Service

_kept: list[object] = []


def _memory(_number: int, size: int) -> None:
    _kept.append(b"x" * size + os.urandom(1))  # no two of them can be one


def _file(number: int, every: int) -> None:
    if number % every == 0:
        _kept.append(os.open(os.devnull, os.O_RDONLY))


def _thread(number: int, every: int) -> None:
    if number % every == 0:
        threading.Thread(target=threading.Event().wait, daemon=True).start()


LEAKS: dict[str, tuple[Callable[[int, int], None], int]] = {
    "memory": (_memory, 4096),
    "files": (_file, 20),
    "threads": (_thread, 20),
}
"""What leaks, and how much unless that is said."""


def main() -> None:
    """Serve, and keep something of every request."""
    leaks = [one.partition("=") for one in sys.argv.pop(1).split("+")]
    begin = Service.begin
    number = 0

    def leaking(service: Service, *arguments: Any) -> Any:
        nonlocal number
        number += 1
        for what, _, amount in leaks:
            leak, usual = LEAKS[what]
            leak(number, int(amount or usual))
        return begin(service, *arguments)

    setattr(Service, "begin", leaking)  # noqa: B010 # mypy knows no other way
    serve()


if __name__ == "__main__":
    main()
