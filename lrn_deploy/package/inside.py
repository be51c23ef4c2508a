"""What the one-file server carries inside itself, as it finds it when it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FOLDER = "bundles"
"""Below the folder that the file unpacks itself into: one folder for each bundle, by its name."""
LIST = f"{FOLDER}.json"
"""Beside it: ``bundles`` with an artifact for each name, or empty for what suits the machine; and
``settings`` of the server, which everything else that says one of them overrides."""


def bundles_inside() -> tuple[str, ...]:
    """The bundles in the program that runs, as its command line would name them."""
    folder, carried = _carried()
    return tuple(
        f"{name}={folder / FOLDER / name}" + (f":{artifact}" if artifact else "")
        for name, artifact in carried.get("bundles", {}).items()
    )


def settings_inside() -> dict[str, Any]:
    """The settings in the program that runs, by their names."""
    settings: dict[str, Any] = _carried()[1].get("settings", {})
    return settings


def _carried() -> tuple[Path, dict[str, Any]]:
    """Where it was unpacked, and what it says that it carries."""
    folder = Path(getattr(sys, "_MEIPASS", ""))
    if folder == Path():
        return folder, {}  # it runs from files of its own
    try:
        return folder, json.loads((folder / LIST).read_bytes())
    except FileNotFoundError:
        return folder, {}
