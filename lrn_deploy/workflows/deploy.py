"""The whole chain in one go: export or import, build an engine where that can be, validate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import MissingError
from lrn_deploy.export import ExportOptions, current_bundle, export_bundle
from lrn_deploy.parity.schema import ParityReport
from lrn_deploy.progress import Progress, silent
from lrn_deploy.workflows.build_engine.build_engine import build_bundle_engine
from lrn_deploy.workflows.build_engine.options import EngineOptions
from lrn_deploy.workflows.import_network.import_network import current_import, import_network
from lrn_deploy.workflows.import_network.options import Imported, ImportOptions
from lrn_deploy.workflows.outcome import Added
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate

OnStage = Callable[[str], None]
"""Told the name of each stage as it begins."""


@dataclass(frozen=True)
class DeployOptions:
    """What to deploy, and how.

    Attributes:
        source: What to export, or to import.
        engine: What engine to build; None builds none.
        validate: How to validate.
        force: Replace a bundle that holds something else.
    """

    source: ExportOptions | ImportOptions
    engine: EngineOptions | None = field(default_factory=EngineOptions)
    validate: ValidateOptions = field(default_factory=ValidateOptions)
    force: bool = False


@dataclass(frozen=True)
class Deployment:
    """What became of a deployment.

    Attributes:
        bundle: The bundle.
        reused: Whether the bundle held the graph already.
        imported: What was read of the files, if the network was imported now.
        engine: The engine, or None if none was built.
        no_engine: Why none was built; empty if one was.
        report: The verdict on every artifact.
    """

    bundle: Bundle
    reused: bool
    imported: Imported | None
    engine: Added | None
    no_engine: str
    report: ParityReport


def deploy(
    options: DeployOptions,
    path: Path,
    on_stage: OnStage | None = None,
    progress: Progress = silent,
) -> Deployment:
    """Take a network or its files to a checked bundle; what was done before is not done again.

    A machine without TensorRT gets a bundle without an engine, and is told so.

    Args:
        options: What to deploy.
        path: Folder of the bundle.
        on_stage: Told each stage.
        progress: Told the steps of a stage.

    Raises:
        LrnDeployError: As export or import, build-engine and validate do.
    """
    stage = on_stage or (lambda _name: None)
    bundle, reused, imported = _made(options, path, stage)
    engine, no_engine = None, "none was asked for"
    if options.engine is not None:
        stage("build-engine")
        try:
            engine = build_bundle_engine(bundle, _fitting(options.engine, bundle), progress)
            bundle, no_engine = engine.bundle, ""
        except MissingError as error:
            no_engine = str(error)
    stage("validate")
    checked = validate(bundle, options.validate, progress)
    return Deployment(checked.bundle, reused, imported, engine, no_engine, checked.report)


def _fitting(request: EngineOptions, bundle: Bundle) -> EngineOptions:
    """The request for the only batch that the bundle's graph takes, if it takes but one."""
    batch = bundle.manifest.inputs[0].shape[0]
    return replace(request, batch=(batch,) * 3) if isinstance(batch, int) else request


def _made(
    options: DeployOptions, path: Path, stage: OnStage
) -> tuple[Bundle, bool, Imported | None]:
    """The bundle, whether it was there, and what was read of files that were imported."""
    source, force = options.source, options.force
    if isinstance(source, ImportOptions):
        stage("import")
        current = None if force else current_import(source, path)
        imported = None if current else import_network(source, path, force=force)
        bundle = current or (imported.bundle if imported else None)
        assert bundle is not None
        return bundle, imported is None, imported
    stage("export")
    current = None if force else current_bundle(source, path)
    return current or export_bundle(source, path, force=force), current is not None, None
