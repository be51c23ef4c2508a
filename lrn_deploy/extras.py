"""How to add what is missing to this very installation.

No package index has lrn-deploy, so the name alone installs nothing. A checkout that is installed
for editing is installed again with the extra; anything else, a wheel file for instance, gets what
the extra stands for, by the requirements in its metadata.
"""

from __future__ import annotations

import json
import re
import shlex
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

_NAME = "lrn-deploy"
_PIP = "pip install"
_ROOT = Path(__file__).resolve().parent.parent


def install(*extras: str) -> str:
    """The command that adds extras of this package to where it is installed.

    Args:
        extras: Their names in ``pyproject.toml``.

    Raises:
        ValueError: If the package has no such extra.
    """
    try:
        distribution = metadata.distribution(_NAME)
    except metadata.PackageNotFoundError:  # run from its folder, or from one executable file
        return _from_checkout(_ROOT if (_ROOT / "pyproject.toml").is_file() else None, extras)
    if unknown := set(extras) - set(distribution.metadata.get_all("Provides-Extra") or ()):
        raise ValueError(f"{_NAME} has no extra {', '.join(sorted(unknown))}")
    checkout = _checkout(distribution)
    if checkout is not None:
        return _from_checkout(checkout, extras)
    return install_package(*_requirements(distribution, extras))


def install_package(*requirements: str) -> str:
    """The command that installs packages which an index has."""
    return " ".join((_PIP, *map(shlex.quote, requirements)))


def _checkout(distribution: metadata.Distribution) -> Path | None:
    """The folder that an editable installation points to (PEP 610), if it is one."""
    record = json.loads(distribution.read_text("direct_url.json") or "{}")
    if not record.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(record["url"]).path))


def _from_checkout(folder: Path | None, extras: tuple[str, ...]) -> str:
    quoted = shlex.quote(f"{folder or '.'}[{','.join(extras)}]")
    return f"{_PIP} -e {quoted}" + ("" if folder else f" in a checkout of {_NAME}")


def _requirements(distribution: metadata.Distribution, extras: tuple[str, ...]) -> list[str]:
    """What the extras bring, each once: ``torch>=2.11; extra == "export"`` without its marker."""
    found: dict[str, None] = {}
    for line in distribution.requires or ():
        requirement, _, marker = line.partition(";")
        if set(re.findall(r"""extra == ["']([^"']+)""", marker)) & set(extras):
            found[requirement.strip()] = None
    return list(found)
