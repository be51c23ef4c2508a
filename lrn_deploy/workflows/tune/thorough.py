"""The thorough way to the finalists: make, judge and validate everything that could be accepted."""

from __future__ import annotations

from lrn_deploy.workflows.tune.contenders import Contender
from lrn_deploy.workflows.tune.field import Field
from lrn_deploy.workflows.tune.variants import make, possible, row, too_coarse
from lrn_deploy.workflows.validate.options import ValidateOptions

FINALISTS = 8
"""At most so many candidates are loaded at once and measured in turns."""
BEYOND = 2
"""So many candidates beyond the demand's errors are raced, too: they show what accuracy costs."""
FAR = 2.0
"""A candidate that alone took this many times as long as the fastest is not raced."""


def everybody(field: Field) -> list[Contender]:
    """Make every variant that could be accepted, judge and validate all, and pick whom to race.

    Raises:
        MissingError: If nothing can run here.
        DamagedError: If a file of the bundle is not what the manifest says.
        CannotWriteError: If a variant or the samples cannot be written.
    """
    options = field.options
    plans = possible(options.devices)
    for done, plan in enumerate(plans):
        left = len(plans) - done
        field.tell(
            f"making {plan.name}",
            {"making": left, "judging": 2 * len(plans), "validating": len(plans), "racing": 4},
        )
        reason = too_coarse(plan.precision, field.demand)
        if not reason:
            with field.ledger.step("making"):
                made = make(field.bundle, plan, options.calibration, field.memory)
            if isinstance(made, str):
                reason = made
            else:
                field.bundle = made.bundle
        if reason and plan.name not in field.bundle.manifest.artifacts:
            field.left_out.append(row(field.bundle, plan, reason))
    found = field.contenders()
    for done, contender in enumerate(found):
        field.tell(
            f"judging {contender.candidate.name}",
            {"judging": len(found) - done, "validating": len(plans), "racing": 4},
        )
        field.judge(contender)
    field.require_some()

    def told(what: str, done: int, total: int) -> None:
        field.tell(what, {"validating": total - done, "racing": 4})

    field.validate(field.within, lambda _: ValidateOptions(devices=options.devices), told)
    return _finalists(field)


def _finalists(field: Field) -> list[Contender]:
    """The fastest, the canonical graph to compare with, and a few beyond the demand."""
    within = field.within
    near = [contender for contender in within if contender.alone <= FAR * within[0].alone]
    del near[FINALISTS:]
    baseline = field.baseline
    if near and baseline is not None and baseline not in near:
        near.append(baseline)
    return near + [contender for contender in field.able if not contender.candidate.within][:BEYOND]
