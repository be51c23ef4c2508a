"""What ``validate`` says of tune's candidates, asked again only where it could answer otherwise."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import ValidationError

from lrn_deploy.bundle import Bundle
from lrn_deploy.bundle.staleness import stale_reports
from lrn_deploy.environment import machine, versions
from lrn_deploy.parity.budgets import Budgets
from lrn_deploy.parity.inputs import regime_of
from lrn_deploy.parity.schema import Check, ParityReport
from lrn_deploy.placement import Placement
from lrn_deploy.progress import Progress
from lrn_deploy.workflows.outcome import Reported
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import REPORT, validate


def failures(
    bundle: Bundle,
    wanted: Collection[Placement],
    options: ValidateOptions,
    progress: Progress,
) -> Reported[dict[Placement, str]]:
    """The first check that each artifact fails on each backend.

    Errors on ordinary inputs do not count: those are the demand's own matter. An earlier report
    answers if it is of these very artifacts with these tools on this machine and held them to the
    usual budgets.

    Args:
        bundle: The bundle; it gains samples if it has none.
        wanted: What must have been checked.
        options: How to validate where no earlier report answers, :func:`only` for instance.
        progress: Told what goes on.

    Raises:
        MissingError: If nothing can be validated here.
        DamagedError: If a file of the bundle is not what the manifest says.
        CannotWriteError: If the samples or the report cannot be written.
    """
    before = earlier(bundle, wanted)
    known = validate(bundle, options, progress) if before is None else Reported(bundle, before)
    found: dict[Placement, str] = {}
    for check in known.report.checks:
        demanded = check.kind == "outputs" and regime_of(check.inputs) == "ordinary"
        if check.verdict == "fail" and not (demanded and check.metrics is not None):
            found.setdefault(check.placement, check.name)
    return Reported(known.bundle, found)


def only(wanted: Collection[Placement]) -> ValidateOptions:
    """Options to check nothing but these artifacts, and only where they are to run."""
    devices = {placement.device for placement in wanted}
    return ValidateOptions(devices=tuple(sorted(devices)), placements=frozenset(wanted))


def earlier(bundle: Bundle, wanted: Collection[Placement]) -> ParityReport | None:
    """The bundle's parity report if ``validate`` would say the same of ``wanted`` again."""
    try:
        report = ParityReport.model_validate_json((bundle.path / REPORT).read_bytes())
    except (OSError, ValidationError):
        return None
    if REPORT in stale_reports(bundle):
        return None
    names = [placement.artifact for placement in wanted]
    now = {name: bundle.manifest.artifact(name).sha256 for name in names}
    seen = {name: report.artifacts.get(name) for name in now}
    ran = {check.placement for check in report.checks if check.verdict != "skipped"}
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
