"""Holding a profile against another bundle, another artifact, or an earlier profile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError
from lrn_deploy.latency.schema import Calibration, Comparison, LatencyReport, Row
from lrn_deploy.latency.statistics import (
    MIN_ROUNDS,
    Rounds,
    judge,
    normalised_interval,
    pooled,
    ratio_interval,
    summarize,
)
from lrn_deploy.placement import Placement

Baseline = Bundle | LatencyReport | str
"""Another bundle, an earlier profile, or the name of an artifact of the same bundle."""
Place = tuple[Placement, int | None]
"""Where something was measured, and at which batch size."""
MAX_CALIBRATION_CHANGE = 0.25
"""A machine whose own speed changed by more is no longer the same machine."""


class Profiled(Protocol):
    """What is compared of a profile; a report is one, too."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """The measurements."""

    @property
    def calibration(self) -> Calibration:
        """The calibration workload."""

    @property
    def machine(self) -> dict[str, str]:
        """Processor, number of cores, operating system."""

    @property
    def threads(self) -> int:
        """Threads of one run; 0 where the runtime chose."""


@dataclass(frozen=True)
class Measured:
    """A profile before it is a report; see :class:`Profiled`."""

    rows: tuple[Row, ...]
    calibration: Calibration
    machine: dict[str, str]
    threads: int


def read_baseline(bundle: Bundle, text: str) -> Baseline:
    """What ``--compare TEXT`` means: a bundle's folder, a latency.json, or an artifact's name.

    Raises:
        BadInputError: If it is none of them.
    """
    path = Path(text)
    if path.is_dir():
        return Bundle.open(path)
    if path.is_file():
        try:
            return LatencyReport.model_validate_json(path.read_bytes())
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise BadInputError(
                f"'{path}' is no latency.json: {error.errors()[0]['msg']} at '{where}'.",
                "Make one with 'lrn-deploy profile'.",
            ) from error
    if text in bundle.manifest.artifacts:
        return text
    raise BadInputError(
        f"There is nothing to compare with at '{text}'.",
        "Give a bundle, an earlier latency.json, or one of the artifacts "
        f"{', '.join(sorted(bundle.manifest.artifacts))}.",
    )


def pairs(bundle: Bundle, other: Bundle, names: Sequence[str]) -> dict[str, str]:
    """Which artifact of the other bundle each artifact is held against.

    Artifacts of the same name; if there are none, the two bundles' default artifacts.
    """
    common = {name: name for name in names if name in other.manifest.artifacts}
    return common or {bundle.manifest.default: other.manifest.default}


def compare_bundles(
    rows: Sequence[Row], paired: dict[str, str], against: str, max_regression: float
) -> tuple[Comparison, ...]:
    """This bundle's artifacts against the other's, measured in the same rounds."""
    others = _by_place(row for row in rows if row.bundle == "other")
    return tuple(
        _interleaved(row, others[place], f"{place[0].artifact} of {against}", max_regression)
        for row in rows
        if row.bundle == "this" and row.artifact in paired
        if (place := _place(row, paired[row.artifact])) in others
    )


def compare_artifacts(
    rows: Sequence[Row], base: str, max_regression: float
) -> tuple[Comparison, ...]:
    """Every other artifact against ``base``, measured in the same rounds."""
    places = _by_place(rows)
    return tuple(
        _interleaved(row, places[place], base, max_regression)
        for row in rows
        if row.artifact != base and (place := _place(row, base)) in places
    )


def compare_reports(
    now: Profiled, before: LatencyReport, max_regression: float
) -> tuple[Comparison, ...]:
    """This profile against an earlier one, each normalised by its calibration workload."""
    earlier = _by_place(row for row in before.rows if row.bundle == "this")
    return tuple(
        _normalised(row, earlier[place], now, before, max_regression)
        for row in now.rows
        if row.bundle == "this" and (place := _place(row, row.artifact)) in earlier
    )


def _by_place(rows: Sequence[Row] | Iterator[Row]) -> dict[Place, Row]:
    return {_place(row, row.artifact): row for row in rows if row.samples}


def _place(row: Row, artifact: str) -> Place:
    """Where ``artifact`` would have been measured beside a row."""
    return replace(row.placement, artifact=artifact), row.batch


def _interleaved(row: Row, other: Row, against: str, max_regression: float) -> Comparison:
    assert row.batch is not None
    common = min(len(row.samples), len(other.samples))
    if common < MIN_ROUNDS:
        return _untold(row, against, f"only {common} rounds of at least {MIN_ROUNDS} were measured")
    ratio = ratio_interval(row.samples, other.samples)
    return Comparison(
        artifact=row.artifact,
        against=against,
        backend=row.backend,
        batch=row.batch,
        ratio=ratio,
        answer=judge(ratio, max_regression),
    )


def _normalised(
    row: Row, old: Row, now: Profiled, before: LatencyReport, max_regression: float
) -> Comparison:
    assert row.batch is not None
    against = f"the profile of {before.created}"
    ours = now.calibration.samples.get(row.batch, ())
    theirs = before.calibration.samples.get(row.batch, ())
    fewest = min(len(samples) for samples in (row.samples, old.samples, ours, theirs))
    if fewest < MIN_ROUNDS:
        return _untold(row, against, f"only {fewest} rounds of at least {MIN_ROUNDS} were measured")
    ratio = normalised_interval((row.samples, ours), (old.samples, theirs))
    reason = _doubt(row, old, now, before) or _calibration_doubt(
        now.calibration, before.calibration, ours, theirs
    )
    return Comparison(
        artifact=row.artifact,
        against=against,
        backend=row.backend,
        batch=row.batch,
        ratio=ratio,
        answer="inconclusive" if reason else judge(ratio, max_regression),
        reason=reason,
    )


def _doubt(row: Row, old: Row, now: Profiled, before: Profiled) -> str:
    """Why two runs at different times cannot be compared; empty if they can."""
    for what in ("processor", "cores", "system"):
        if now.machine.get(what) != before.machine.get(what):
            return f"the {what} is another: {before.machine.get(what)} then"
    if now.threads != before.threads:
        return f"the runs used {before.threads} threads then and {now.threads} now (0: the default)"
    for noise, when in ((old.noise, "then"), (row.noise, "now")):
        if noise is None or noise.noisy:
            reasons = "; ".join(noise.reasons) if noise else "unknown"
            return f"the machine was too noisy {when}: {reasons}"
    return ""


def _calibration_doubt(now: Calibration, before: Calibration, ours: Rounds, theirs: Rounds) -> str:
    if now.version != before.version:
        return "the calibration workload is another one"
    change = summarize(ours).p50 / summarize(theirs).p50 - 1
    if abs(change) > MAX_CALIBRATION_CHANGE:
        return f"the machine's own speed changed: calibration took {change:+.0%}"
    return "" if len(pooled(ours)) else "there is no calibration"


def _untold(row: Row, against: str, reason: str) -> Comparison:
    assert row.batch is not None
    return Comparison(
        artifact=row.artifact,
        against=against,
        backend=row.backend,
        batch=row.batch,
        ratio=None,
        answer="inconclusive",
        reason=reason,
    )
