"""Build ``dist/lrn-server``: the server as one executable file, with the CPU's runtime."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from lrn_deploy.errors import LrnDeployError
from lrn_deploy.package.one_file import build_server

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Build it, and say how large it is."""
    started = time.monotonic()
    built = ROOT / "dist" / "lrn-server"
    built.parent.mkdir(exist_ok=True)
    try:
        build_server(built)
    except LrnDeployError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    size = built.stat().st_size / 1e6
    print(f"{built.relative_to(ROOT)}: {size:.0f} MB, in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
