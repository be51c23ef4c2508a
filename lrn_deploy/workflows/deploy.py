"""The whole chain in one go: export, build an engine where that is possible, validate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import MissingError
from lrn_deploy.export import ExportRequest, current_bundle, export_bundle
from lrn_deploy.parity.report import ParityReport
from lrn_deploy.workflows.build_engine.build_engine import EngineResult, build_bundle_engine
from lrn_deploy.workflows.build_engine.options import EngineRequest
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate

OnStage = Callable[[str], None]
"""Told the name of each stage as it begins."""
OnStep = Callable[[str, int, int], None]
"""Told what is being done within a stage, and how many of how many steps are done."""


@dataclass(frozen=True)
class DeployOptions:
    """What to deploy, and how.

    Attributes:
        export: What to export.
        engine: What engine to build; None builds none.
        validate: How to validate.
        force: Replace a bundle that holds something else.
    """

    export: ExportRequest
    engine: EngineRequest | None = field(default_factory=EngineRequest)
    validate: ValidateOptions = field(default_factory=ValidateOptions)
    force: bool = False


@dataclass(frozen=True)
class Deployment:
    """What became of a deployment.

    Attributes:
        bundle: The bundle.
        export_reused: Whether the bundle held the exported graph already.
        engine: The engine, or None if none was built.
        no_engine: Why none was built; empty if one was.
        report: The verdict on every artifact.
    """

    bundle: Bundle
    export_reused: bool
    engine: EngineResult | None
    no_engine: str
    report: ParityReport


def deploy(
    options: DeployOptions,
    path: Path,
    on_stage: OnStage | None = None,
    on_step: OnStep | None = None,
) -> Deployment:
    """Take a network to a checked bundle; each stage that was done before is not done again.

    A machine without TensorRT gets a bundle without an engine, and is told so.

    Args:
        options: What to deploy.
        path: Folder of the bundle.
        on_stage: Told each stage.
        on_step: Told the steps of a stage.

    Raises:
        LrnDeployError: As export, build-engine and validate do.
    """
    stage = on_stage or (lambda _name: None)
    stage("export")
    current = None if options.force else current_bundle(options.export, path)
    bundle = current or export_bundle(options.export, path, force=options.force)
    engine, no_engine = None, "none was asked for"
    if options.engine is not None:
        stage("build-engine")
        try:
            engine = build_bundle_engine(bundle, options.engine, on_step)
            bundle, no_engine = engine.bundle, ""
        except MissingError as error:
            no_engine = str(error)
    stage("validate")
    report = validate(bundle, options.validate, on_step)
    return Deployment(Bundle.open(path), current is not None, engine, no_engine, report)
