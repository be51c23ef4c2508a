"""Tune a bundle: make, judge, validate and race every way to run it here, and record the best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from lrn_deploy.bundle import Bundle, Choice
from lrn_deploy.environment import cores, machine, versions
from lrn_deploy.errors import MissingError
from lrn_deploy.latency.machine import MAX_FOREIGN_CORES, conditions, foreign_cores, usage
from lrn_deploy.tuning.decide import best_point, decide, explain, front
from lrn_deploy.tuning.report import Candidate, TuneReport
from lrn_deploy.workflows.evaluation import evaluation_inputs
from lrn_deploy.workflows.profile_options import powers_up_to
from lrn_deploy.workflows.tune_contenders import (
    Contender,
    contenders,
    race,
    reference_outputs,
    screen,
)
from lrn_deploy.workflows.tune_options import TuneOptions
from lrn_deploy.workflows.tune_validation import failures
from lrn_deploy.workflows.tune_variants import make_variants, too_coarse

REPORT = "reports/tune.json"
MODEL = "model"
FINALISTS = 8
"""At most so many candidates are loaded at once and measured in turns."""
BEYOND = 2
"""So many candidates beyond the demand's errors are raced, too: they show what accuracy costs."""
FAR = 2.0
"""A candidate that alone took this many times as long as the fastest is not raced."""
Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many of how many steps are done."""


def tune(
    bundle: Bundle, options: TuneOptions | None = None, on_progress: Progress | None = None
) -> TuneReport:
    """Find the fastest way to run a bundle that is accurate enough, and make it the default.

    Every variant that could be the answer is made. Each runs on every backend and number of
    threads, is judged on real inputs against the fp32 graph, and timed alone for a moment. What is
    within the demand and passes ``validate`` is raced: loaded at once and measured in turns at
    each batch size. ``reports/tune.json`` holds all of it; the manifest gets the default artifact
    and the ranking. Where nothing is within the demand, or it was interrupted, the manifest keeps
    what it has.

    Args:
        bundle: The bundle.
        options: What is asked for, and how to measure.
        on_progress: Told what goes on.

    Raises:
        BadInputError: If a folder of images cannot be used.
        MissingError: If nothing can run here.
        DamagedError: If a file of the bundle is not what the manifest says.
        CannotWriteError: If a variant or the report cannot be written.
        KeyboardInterrupt: If Ctrl-C was pressed before anything was raced.
    """
    return _Tune(bundle, options or TuneOptions(), on_progress or _silent).run()


class _Tune:
    """One run of :func:`tune`."""

    def __init__(self, bundle: Bundle, options: TuneOptions, on_progress: Progress) -> None:
        self.bundle = bundle
        self.options = options
        self.demand = options.demand
        self.tell = on_progress
        self.warnings: list[str] = []
        wanted = {options.batch} if options.objective == "latency" else set()
        self.batches = tuple(sorted({*powers_up_to(options.max_batch), *wanted}))
        self.threads = options.threads or tuple(sorted({cores(), 1}, reverse=True))

    def run(self) -> TuneReport:
        started = time.monotonic()
        before, first = conditions(), usage()
        inputs = evaluation_inputs(self.bundle.manifest, self.options.images)
        self.bundle, left_out = make_variants(
            self.bundle,
            self.demand,
            devices=self.options.devices,
            calibration=self.options.calibration,
            tell=self.tell,
        )
        self.tell("running the fp32 graph", 0, 1)
        truth, computed_by = reference_outputs(self.bundle, inputs)
        screened: list[tuple[Contender, Candidate]] = []
        found = list(contenders(self.bundle, self.options.devices, self.threads))
        batch = self.batches[-1] if self.demand.objective == "throughput" else self.demand.batch
        for done, item in enumerate(found):
            if isinstance(item, Candidate):
                left_out.append(item)
                continue
            reason = too_coarse(item.candidate.precision, self.demand)
            if reason:
                left_out.append(item.candidate.model_copy(update={"reason": reason}))
                continue
            self.tell(f"judging {item.candidate.name}", done, len(found))
            judged = screen(item, self.bundle, inputs, truth, self.demand, batch)
            screened.append((Contender(judged, item.backend), judged))
        if not any(item.metrics for _, item in screened):
            reason = next((item.reason for _, item in screened), "there is no backend for it")
            raise MissingError(
                f"Nothing of the bundle can run here: {reason}",
                "'lrn-deploy doctor' lists the backends and how to enable them.",
            )
        contending = self._validated([item for item, _ in screened])
        finalists, others = self._split(contending)
        raced, complete = race(
            finalists,
            self.bundle,
            inputs,
            self.batches,
            self.options.effort,
            lambda done, total: self.tell(f"racing {len(finalists)} candidates", done, total),
        )
        candidates = (*raced, *(item.candidate for item in others), *left_out)
        report = self._report(candidates, complete=complete).model_copy(
            update={
                "inputs": f"{inputs.detail}, against {computed_by}",
                "conditions": before,
                "load_after": conditions().load,
                "foreign_cores": foreign_cores(first, usage()),
                "seconds": round(time.monotonic() - started, 3),
            }
        )
        report = report.model_copy(update={"warnings": (*self.warnings, *_warnings(report))})
        self._record(report)
        return report

    def _validated(self, judged: Sequence[Contender]) -> list[Contender]:
        """Take out what ``validate`` fails; ordinary inputs are the demand's own matter."""
        wanted = {
            (item.candidate.artifact, item.candidate.backend)
            for item in judged
            if item.candidate.within
        }
        if not wanted:
            return list(judged)
        try:
            failed = failures(self.bundle, wanted, self.options.devices, self.tell)
        except MissingError as error:
            self.warnings.append(f"Nothing was validated: {error.message}")
            return list(judged)
        self.bundle = Bundle.open(self.bundle.path)  # validate added its samples
        kept = []
        for item in judged:
            name = failed.get((item.candidate.artifact, item.candidate.backend))
            changes = {"within": False, "reason": f"validate fails: {name}"}
            out = name is not None and item.candidate.within
            candidate = item.candidate.model_copy(update=changes) if out else item.candidate
            kept.append(Contender(candidate, item.backend))
        return kept

    def _split(self, judged: Sequence[Contender]) -> tuple[list[Contender], list[Contender]]:
        """Who is raced: the fastest, the canonical graph to compare with, and a few beyond."""
        able = [item for item in judged if item.candidate.points]
        able.sort(key=_alone)
        timed = [item for item in able if item.candidate.within]
        near = [item for item in timed if _times(item, timed[0]) <= FAR][:FINALISTS]
        plain = [item for item in timed if item.candidate.artifact == MODEL]
        baseline = next((item for item in plain if "onnxruntime" in item.candidate.backend), None)
        if near and baseline is not None and baseline not in near:
            near.append(baseline)
        near += [item for item in able if not item.candidate.within][:BEYOND]
        others = []
        for item in judged:
            if item in near:
                continue
            if item.candidate.within:
                times = _times(item, timed[0])
                reason = f"not raced: alone it took {times:.3g} times as long as the fastest"
                slow = item.candidate.model_copy(update={"reason": reason})
                others.append(Contender(slow, item.backend))
            else:
                others.append(item)
        return near, others

    def _report(self, candidates: tuple[Candidate, ...], *, complete: bool) -> TuneReport:
        decision = decide(candidates, self.demand) if complete else None
        kept = front(candidates, self.demand)
        said = (
            explain(candidates, decision, self.demand)
            if complete
            else "It was interrupted, so nothing was chosen."
        )
        ranking = decision.ranking if decision else ()
        rest = [at for at in range(len(candidates)) if at not in ranking]
        order = (*ranking, *sorted(rest, key=lambda at: _seconds(candidates[at])))
        return TuneReport(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            model=self.bundle.manifest.model.name,
            complete=complete,
            demand=self.demand,
            inputs="",
            candidates=tuple(
                candidates[at].model_copy(update={"front": at in kept}) for at in order
            ),
            chosen=0 if decision else None,
            batch=decision.batch if decision else None,
            explanation=said,
            conditions=conditions(),
            load_after=None,
            foreign_cores=None,
            machine=machine(),
            versions=versions(),
            seconds=0.0,
        )

    def _record(self, report: TuneReport) -> None:
        self.bundle.add_file(REPORT, (report.model_dump_json(indent=1) + "\n").encode())
        if report.choice is None:
            return
        ranked = [
            item for item in report.candidates if item.within and best_point(item, self.demand)
        ]
        self.bundle = self.bundle.update(
            default=report.choice.artifact,
            choices=tuple(
                Choice(
                    artifact=item.artifact,
                    sha256=item.sha256,
                    backend=item.backend,
                    threads=item.threads,
                )
                for item in ranked
            ),
        )


def _seconds(candidate: Candidate) -> tuple[bool, float]:
    """Sorts those within the demand first, by the time of an item."""
    times = [point.seconds / point.batch for point in candidate.points]
    return not candidate.within, min(times, default=float("inf"))


def _alone(item: Contender) -> float:
    """Seconds of the best run of its only point: what it can do when nothing disturbs it."""
    return min(min(taken) for taken in item.candidate.points[0].samples)


def _times(item: Contender, fastest: Contender) -> float:
    return _alone(item) / _alone(fastest)


def _warnings(report: TuneReport) -> list[str]:
    """Why not to trust the answer."""
    found = []
    choice = report.choice
    point = best_point(choice, report.demand) if choice else None
    if choice and point and point.noise.noisy:
        found.append(
            f"The machine was too noisy to trust the time of {choice.name}: "
            f"{'; '.join(point.noise.reasons)}."
        )
    if report.foreign_cores is not None and report.foreign_cores > MAX_FOREIGN_CORES:
        found.append(
            f"Other processes kept {report.foreign_cores:.1f} of {report.machine['cores']} cores "
            "busy meanwhile; tune again when they have ended."
        )
    return found


def _silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""
