"""Bundles on their way into packages, and what the server makes of the options in these."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.peers.environments import FOLDER, is_made
from lrn_deploy.bundle import Bundle
from lrn_deploy.cli.serve import command
from lrn_deploy.package.options import PackageOptions
from lrn_deploy.package.subject import Subject
from tests.support.image_bundles import colour_bundle

ROOT = Path(__file__).parents[2]


def subject_of(bundle: Bundle, to: str, **chosen: Any) -> Subject:
    """A bundle that is to be packaged, as ``lrn-deploy package`` would have it."""
    options = PackageOptions(to=to, **chosen)
    name = options.name or bundle.manifest.model.name
    return Subject(bundle, name, options.artifact or bundle.manifest.default, options)


def colours(folder: Path, to: str, **chosen: Any) -> Subject:
    """A small bundle that is to be packaged."""
    return subject_of(colour_bundle(folder), to, **chosen)


def understood(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, **context: Any
) -> Any:
    """What ``lrn-server`` makes of a command line and an environment, without starting.

    Raises:
        click.UsageError: If it does not take them.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        return command.make_context("lrn-server", list(arguments), **context).params


def judged(environment: str, script: str, *arguments: str | Path, given: Any = None) -> Any:
    """What a script of this folder says, as JSON, in an environment that has what it needs.

    The test is skipped where that environment has not been made.
    """
    if not is_made(environment):
        pytest.skip(f"no {environment} here: {how_to_make(environment)}")
    done = subprocess.run(
        [FOLDER / environment / "bin" / "python", ROOT / "tests" / "support" / script, *arguments],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def how_to_make(environment: str) -> str:
    """The command that makes an environment of ``benchmarks/peers``."""
    return f"python -m benchmarks.peers.environments {environment}"


def documents(path: Path) -> list[Any]:
    """What a YAML file holds, as a reader of YAML 1.1 takes it."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
