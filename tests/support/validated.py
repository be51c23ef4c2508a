"""A small network's bundle, exported and validated once a process, to copy and to spoil."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest

from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.backends.protocol import Backend
from lrn_deploy.backends.registry import artifact_backends
from lrn_deploy.bundle import Bundle
from lrn_deploy.export import ExportOptions, export_bundle
from lrn_deploy.parity.schema import ParityReport
from lrn_deploy.workflows.validate import validate as workflow
from lrn_deploy.workflows.validate.options import ValidateOptions

NETWORKS = Path(__file__).parent / "small_alexnet.py"
BATCHES = (1, 3, 4)
QUICK = ("--max-batch", "4")
"""The same sizes, as the command is asked for them."""


@functools.cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lrn-deploy-validated-")


@functools.cache
def fresh() -> Path:
    """An exported bundle that was never validated; it is for all and not to be changed."""
    path = Path(_home().name) / "fresh"
    return export_bundle(ExportOptions(f"{NETWORKS}:small_alexnet"), path).path


@functools.cache
def checked() -> Path:
    """The same, validated once on every backend."""
    path = Path(shutil.copytree(fresh(), Path(_home().name) / "checked"))
    workflow.validate(Bundle.open(path), ValidateOptions(batches=BATCHES))
    return path


def leave_openvino_out(monkeypatch: pytest.MonkeyPatch, *rooms: ModuleType) -> None:
    """One backend of the CPU's is enough for what does not lie in the backend.

    Args:
        monkeypatch: Puts it back.
        rooms: The modules that ask for the backends.
    """

    def without_openvino(*devices: Sequence[str], **options: Any) -> tuple[Backend, ...]:
        every = artifact_backends(*devices, **options)
        return tuple(one for one in every if not isinstance(one, OpenVinoBackend))

    for room in rooms or (workflow,):
        monkeypatch.setattr(room, "artifact_backends", without_openvino)


def report_of(path: Path) -> ParityReport:
    return ParityReport.model_validate_json((path / "reports" / "parity.json").read_text())


def spoil(path: Path, fault: Any) -> None:
    """Put a fault into the graph and a hash that says all is well into the manifest."""
    opened = Bundle.open(path)
    artifact = opened.manifest.artifact("model")
    model = onnx.load_model_from_string(opened.read(artifact))
    fault(model)
    record = opened.add_file(artifact.file, model.SerializeToString())
    opened.add_artifact("model", artifact.model_copy(update=record.model_dump()))
