"""What ``validate`` says of tune's candidates, asked again only where it could answer otherwise."""

from __future__ import annotations

from collections.abc import Callable, Collection

from pydantic import ValidationError

from lrn_deploy.bundle import Bundle
from lrn_deploy.bundle.staleness import stale_reports
from lrn_deploy.environment import machine, versions
from lrn_deploy.parity.budgets import Budgets
from lrn_deploy.parity.report import Check, ParityReport
from lrn_deploy.parity.samples import regime_of
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import REPORT, validate

Where = tuple[str, str]
"""An artifact and the backend that runs it, ``openvino:cpu``."""


def failures(
    bundle: Bundle,
    wanted: Collection[Where],
    options: ValidateOptions,
    tell: Callable[[str, int, int], None],
) -> dict[Where, str]:
    """The first check that each artifact fails on each backend.

    Errors on ordinary inputs do not count: those are the demand's own matter. An earlier report
    answers if it is of these very artifacts with these tools on this machine and held them to the
    usual budgets.

    Args:
        bundle: The bundle; it gains samples if it has none.
        wanted: What must have been checked.
        options: How to validate where no earlier report answers, :func:`only` for instance.
        tell: Told what goes on.

    Raises:
        MissingError: If nothing can be validated here.
        DamagedError: If a file of the bundle is not what the manifest says.
        CannotWriteError: If the samples or the report cannot be written.
    """
    report = earlier(bundle, wanted) or validate(bundle, options, tell)
    found: dict[Where, str] = {}
    for check in report.checks:
        demanded = check.kind == "outputs" and regime_of(check.inputs) == "ordinary"
        if check.verdict == "fail" and not (demanded and check.metrics is not None):
            found.setdefault((check.artifact, check.backend), check.name)
    return found


def only(wanted: Collection[Where]) -> ValidateOptions:
    """Options to check nothing but these artifacts, where they run."""
    devices = {backend.partition(":")[2] for _, backend in wanted}
    artifacts = frozenset(artifact for artifact, _ in wanted)
    return ValidateOptions(devices=tuple(sorted(devices)), artifacts=artifacts)


def earlier(bundle: Bundle, wanted: Collection[Where]) -> ParityReport | None:
    """The bundle's parity report if ``validate`` would say the same of ``wanted`` again."""
    try:
        report = ParityReport.model_validate_json((bundle.path / REPORT).read_bytes())
    except (OSError, ValidationError):
        return None
    if REPORT in stale_reports(bundle):
        return None
    now = {name: bundle.manifest.artifact(name).sha256 for name, _ in wanted}
    seen = {name: report.artifacts.get(name) for name in now}
    ran = {(check.artifact, check.backend) for check in report.checks if check.verdict != "skipped"}
    here = (now, versions(), machine())
    same = (seen, report.versions, report.machine) == here and ran >= set(wanted)
    asked = [check for check in report.checks if check.artifact in {"", *now}]
    return report if same and all(_usual(check, bundle) for check in asked) else None


def _usual(check: Check, bundle: Bundle) -> bool:
    """Whether a check was held to the budget that it has when nobody asks for another."""
    if check.metrics is None:
        return True
    regime = "probe" if check.kind == "probe" else regime_of(check.inputs)
    artifact = bundle.manifest.artifacts.get(check.artifact)  # none for PyTorch, the reference
    precision = artifact.precision if artifact else "fp32"
    return check.budget == Budgets().budget(precision, regime)
