"""Entry point of ``lrn-server``."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run ``lrn-deploy serve`` with this process's arguments."""
    # There are none, and to look for them in every installed package delays the start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from lrn_deploy.cli import run

    if getattr(sys, "frozen", False):
        import multiprocessing

        multiprocessing.freeze_support()
    sys.exit(run(["serve", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
