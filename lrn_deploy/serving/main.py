"""Entry point of ``lrn-server``."""

from __future__ import annotations

import multiprocessing
import sys


def main() -> None:
    """Run ``lrn-deploy serve`` with this process's arguments."""
    from lrn_deploy.cli import run

    multiprocessing.freeze_support()
    sys.exit(run(["serve", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
