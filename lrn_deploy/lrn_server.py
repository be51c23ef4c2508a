"""Entry point of ``lrn-server``."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run what ``lrn-deploy serve`` runs, under its own name."""
    # There are none, and to look for them in every installed package delays the start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from lrn_deploy.cli import run
    from lrn_deploy.cli.serve import command

    if getattr(sys, "frozen", False):
        import multiprocessing

        from lrn_deploy.package.inside import settings_inside

        multiprocessing.freeze_support()
        command.context_settings["default_map"] = settings_inside()
    sys.exit(run(sys.argv[1:], command, "lrn-server"))


if __name__ == "__main__":
    main()
