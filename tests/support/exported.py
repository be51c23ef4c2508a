"""Networks of the zoo that many tests begin with, each exported once a process and then copied."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from lrn_deploy.bundle import Bundle
from lrn_deploy.export import ExportOptions, export_bundle


def exported(network: str, path: Path, *, uint8_input: bool = False) -> Bundle:
    """The bundle of a network, at a path where there is nothing yet; it may be changed."""
    return Bundle.open(shutil.copytree(_made(network, uint8_input), path))


@functools.cache
def _made(network: str, uint8_input: bool) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="lrn-deploy-exported-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return export_bundle(ExportOptions(network, uint8_input=uint8_input), folder / network).path
