"""Tune a bundle: make, judge, validate and race the ways to run it here, and record the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lrn_deploy.bundle import Bundle, Choice
from lrn_deploy.environment import cores
from lrn_deploy.latency.circumstances import Measurement
from lrn_deploy.latency.machine import Usage
from lrn_deploy.progress import Progress, silent
from lrn_deploy.tuning.decide import Decision, best_point, decide, explain, pareto
from lrn_deploy.tuning.ledger import Ledger
from lrn_deploy.tuning.schema import Candidate, TuneReport
from lrn_deploy.workflows.outcome import Reported
from lrn_deploy.workflows.profile.options import powers_up_to
from lrn_deploy.workflows.tune.contenders import Contender, reference
from lrn_deploy.workflows.tune.evaluation import evaluation_inputs
from lrn_deploy.workflows.tune.field import Field
from lrn_deploy.workflows.tune.options import TuneOptions
from lrn_deploy.workflows.tune.race import Rules, race
from lrn_deploy.workflows.tune.search import promising
from lrn_deploy.workflows.tune.thorough import everybody

REPORT = "reports/tune.json"
BESIDE = 0.2
"""The share of the time that a batch size gets which does not decide."""


def tune(
    bundle: Bundle, options: TuneOptions | None = None, progress: Progress = silent
) -> Reported[TuneReport]:
    """Find the fastest way to run a bundle that is accurate enough, and make it the default.

    Variants are made one by one, as long as they could be the answer by what was measured of the
    others; with ``thorough`` all are. Each runs on the backends and numbers of threads that could
    win, is judged on real inputs against the fp32 graph, and timed alone for a moment. Those near
    the fastest are held against ``validate`` and raced: loaded at once and measured in turns,
    until the answer is clear. ``reports/tune.json`` holds all of it; the manifest gets the default
    artifact and the ranking of what was validated. Where nothing is within the demand, or it was
    interrupted, the manifest keeps what it has.

    Args:
        bundle: The bundle.
        options: What is asked for, and how to measure.
        progress: Told what goes on, and roughly how long it will yet take.

    Raises:
        BadInputError: If a folder of images cannot be used.
        MissingError: If nothing can run here.
        DamagedError: If a file of the bundle is not what the manifest says.
        CannotWriteError: If a variant or the report cannot be written.
        KeyboardInterrupt: If Ctrl-C was pressed before anything was raced.
    """
    return _Tune(bundle, options or TuneOptions(), progress).run()


class _Tune:
    """One run of :func:`tune`."""

    def __init__(self, bundle: Bundle, options: TuneOptions, progress: Progress) -> None:
        self.bundle = bundle
        self.options = options
        self.demand = options.demand
        self.progress = progress

    def run(self) -> Reported[TuneReport]:
        with Measurement() as around:
            field = self._field(around.began)
            finalists = (everybody if self.options.thorough else promising)(field)
            self.bundle = field.bundle
            with field.ledger.step("racing"):
                raced, complete = race(
                    finalists,
                    self.bundle,
                    field.inputs,
                    self._rules(field, finalists),
                    lambda done, total: self.progress(
                        f"racing {len(finalists)} candidates", done, total
                    ),
                )
        candidates = (*raced, *_not_raced(field, finalists), *field.left_out)
        decision = decide(candidates, self.demand) if complete else None
        choice = candidates[decision.ranking[0]] if decision else None
        report = TuneReport(
            **around.fields,
            model=self.bundle.manifest.model.name,
            complete=complete,
            demand=self.demand,
            inputs=f"{field.inputs.detail}, against {field.truth.detail}",
            candidates=self._in_order(candidates, decision),
            chosen=0 if decision else None,
            batch=decision.batch if decision else None,
            explanation=explain(candidates, decision, self.demand)
            if complete
            else "It was interrupted, so nothing was chosen.",
            warnings=(*field.warnings, *self._noisy(choice), *around.crowded("tune")),
            phases={name: round(took, 3) for name, took in field.ledger.seconds.items()},
            thorough=self.options.thorough,
        )
        self._record(report)
        return Reported(self.bundle, report)

    def _field(self, began: Usage) -> Field:
        """The field before anybody is in it."""
        options = self.options
        wanted = {options.batch} if options.objective == "latency" else set()
        self.progress("running the fp32 graph", 0, 1)
        inputs = evaluation_inputs(self.bundle.manifest, options.images)
        return Field(
            self.bundle,
            options,
            options.threads or tuple(sorted({cores(), 1}, reverse=True)),
            tuple(sorted({*powers_up_to(options.max_batch), *wanted})),
            inputs,
            reference(self.bundle, inputs),
            self.progress,
            Ledger(),
            began,
        )

    def _rules(self, field: Field, finalists: Sequence[Contender]) -> Rules:
        effort = self.options.effort
        if self.options.thorough:
            return Rules(dict.fromkeys(field.batches, effort))
        if self.options.objective == "throughput":
            return Rules(dict.fromkeys(field.batches, effort), eliminating=True)
        short = replace(effort, seconds=BESIDE * effort.seconds)
        decisive = self.options.batch
        rest = {batch: short for batch in field.batches if batch != decisive}
        compared = next(
            (at for at, contender in enumerate(finalists) if contender is field.baseline), None
        )
        return Rules({decisive: effort} | rest, True, decisive, compared)

    def _in_order(
        self, candidates: Sequence[Candidate], decision: Decision | None
    ) -> tuple[Candidate, ...]:
        """The candidates, the ranked ones first, each told whether it is one of the best trades."""
        kept = pareto(candidates, self.demand)
        ranking = decision.ranking if decision else ()
        rest = [at for at in range(len(candidates)) if at not in ranking]
        order = (*ranking, *sorted(rest, key=lambda at: _seconds(candidates[at])))
        return tuple(candidates[at].model_copy(update={"front": at in kept}) for at in order)

    def _noisy(self, choice: Candidate | None) -> tuple[str, ...]:
        """Why not to trust the answer: the choice's own time."""
        best = best_point(choice, self.demand) if choice else None
        if choice is None or best is None or not best.noise.noisy:
            return ()
        return (
            f"The machine was too noisy to trust the time of {choice.name}: "
            f"{'; '.join(best.noise.reasons)}.",
        )

    def _record(self, report: TuneReport) -> None:
        self.bundle.add_file(REPORT, (report.model_dump_json(indent=1) + "\n").encode())
        if report.choice is None:
            return
        ranked = [  # in the quick way, who was not raced was not validated
            candidate
            for candidate in report.candidates
            if candidate.within
            and best_point(candidate, self.demand)
            and (candidate.raced or self.options.thorough)
        ]
        self.bundle = self.bundle.update(
            default=report.choice.artifact,
            choices=tuple(
                Choice(
                    artifact=candidate.artifact,
                    sha256=candidate.sha256,
                    backend=candidate.backend,
                    threads=candidate.threads,
                )
                for candidate in ranked
            ),
        )


def _seconds(candidate: Candidate) -> tuple[bool, float]:
    """Sorts those within the demand first, by the time of an item."""
    times = [point.seconds / point.batch for point in candidate.points]
    return not candidate.within, min(times, default=float("inf"))


def _not_raced(field: Field, finalists: Sequence[Contender]) -> list[Candidate]:
    """The others who were judged, with the reason why they were not raced."""
    raced = {contender.candidate.name for contender in finalists}
    others = []
    for contender in field.judged:
        if contender.candidate.name in raced:
            continue
        if contender.candidate.within:
            times = contender.typical / min(other.typical for other in field.within)
            reason = f"not raced: for a moment it took {times:.3g} times as long as the fastest"
            contender = contender.changed(reason=reason)
        others.append(contender.candidate)
    return others
