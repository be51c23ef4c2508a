"""What ``make audit`` runs: is a weakness known of a version that constraints.txt pins?

pip-audit asks PyPI for the advisories of each pinned release, which come from the Python Packaging
Advisory Database. It has an environment of its own, since what it needs is no part of ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "constraints.txt"
NONE_KNOWN, FOUND, NOT_REACHED = 0, 1, 3
_FOLDER = ROOT / ".peers" / "audit"
_WANTED = "pip-audit==2.9.0"


def main() -> int:
    """Ask and print; returns 0 if none is known, 1 if one is, 3 if not all could be asked for."""
    try:
        program = installed()
    except subprocess.CalledProcessError as error:
        print(f"{_WANTED} could not be installed, so nothing was checked:\n{error.stderr}")
        return NOT_REACHED
    return audit([str(program)])


def installed() -> Path:
    """The program, which is installed if it is not there.

    Raises:
        subprocess.CalledProcessError: If it cannot be.
    """
    program = _FOLDER / "bin" / "pip-audit"
    if not program.exists():
        print(f"Making {_FOLDER} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", _FOLDER], check=True)
        pip = [str(_FOLDER / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]
        subprocess.run([*pip, "install", _WANTED], check=True, capture_output=True, text=True)
    return program


def audit(program: list[str], pins: Path = PINS) -> int:
    """Ask for all pinned versions; prints each that an advisory is known of.

    Args:
        program: How pip-audit is run.
        pins: The versions.
    """
    done = subprocess.run(
        [
            *(*program, "--requirement", str(pins), "--no-deps", "--disable-pip"),
            *("--vulnerability-service", "pypi", "--format", "json", "--progress-spinner", "off"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        print(f"No advisories could be asked for, so nothing was checked:\n{done.stderr.strip()}")
        return NOT_REACHED
    skipped = [one for one in found if "skip_reason" in one]
    weak = [(one, advisory) for one in found for advisory in one.get("vulns", ())]
    for one, advisory in weak:
        fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
        names = ", ".join([advisory["id"], *advisory.get("aliases", ())])
        print(f"{one['name']} {one['version']}: {names}; mended in {fixed}")
    print(f"{len(found) - len(skipped)} of {len(found)} pinned versions checked.")
    if skipped:
        names = ", ".join(one["name"] for one in skipped[:5])
        print(f"PyPI told nothing of {len(skipped)}: {names}{', ...' * (len(skipped) > 5)}")
    if weak:
        return FOUND
    return NOT_REACHED if skipped else NONE_KNOWN


if __name__ == "__main__":
    sys.exit(main())
