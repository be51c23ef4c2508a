"""``lrn-deploy doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lrn_deploy.cli.common.output import emit, json_option, people
from lrn_deploy.errors import MissingError
from lrn_deploy.extras import install

if TYPE_CHECKING:
    from rich.console import Console

    from lrn_deploy.doctor import Diagnosis


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Tell what this machine has, which backends can run, and how to enable the rest.

    Exits with 0 if at least one backend can run, and with 3 if none can or if packages that
    break each other are installed.

    \b
    Example:
      lrn-deploy doctor
      lrn-deploy doctor --json
    """
    from lrn_deploy.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        emit(diagnosis)
    else:
        _print(diagnosis, people(as_json))
    if diagnosis.problems:
        raise MissingError(f"This environment is broken: {diagnosis.problems[0]}")
    if not diagnosis.can_run:
        raise MissingError("No backend can run here.", f"The quickest to add: {install('cpu')}")


def _print(diagnosis: Diagnosis, say: Console) -> None:
    say.print(f"Python {diagnosis.python} ({diagnosis.executable})", markup=False)
    say.print(diagnosis.platform, markup=False)
    say.print("\nPackages")
    for package in diagnosis.packages:
        version = package.version or "-"
        say.print(f"  {package.name:<16} {version:<14} {package.gives}", markup=False)
    say.print("\nNVIDIA GPUs")
    for gpu in diagnosis.gpus:
        memory = "" if gpu.memory_mib is None else f", {gpu.memory_mib} MiB"
        say.print(
            f"  {gpu.name}: compute capability {gpu.compute_capability}{memory}, "
            f"driver {gpu.driver}",
            markup=False,
        )
    if not diagnosis.gpus:
        say.print("  none: nvidia-smi is not installed or lists no GPU")
    say.print("\nBackends")
    for backend in diagnosis.backends:
        state = "can run   " if backend.available else "cannot run"
        title = f"{backend.name} on {backend.device}"
        say.print(f"  {title:<21} {state}  {backend.detail}", markup=False)
        if backend.hint:
            say.print(f"  {'':<21} {'':<10}  {backend.hint}", markup=False)
