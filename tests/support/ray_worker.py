"""What Ray starts for a worker: has one forked from the warm process, and ends as that does."""

from __future__ import annotations

import json
import os
import socket
import sys

VARIABLE = "LRN_DEPLOY_TESTS_RAY"


def main() -> None:
    """Ask for a worker, and wait for its end."""
    line = socket.socket(socket.AF_UNIX)
    line.connect(os.environ[VARIABLE])
    asked = {"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}  # noqa: PTH109 - quick
    text = json.dumps(asked).encode()
    socket.send_fds(line, [len(text).to_bytes(4, "big")], [0, 1, 2])
    line.sendall(text)
    line.recv(1)


if __name__ == "__main__":
    main()
