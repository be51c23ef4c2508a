"""Profile a bundle: every artifact on every backend that runs here, in turns, with raw samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from statistics import median

from lrn_deploy.backends.registry import runs_on
from lrn_deploy.bundle import Bundle
from lrn_deploy.environment import machine, versions
from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError
from lrn_deploy.latency import calibration
from lrn_deploy.latency.floor import Hardware, lower_bound, measure
from lrn_deploy.latency.machine import (
    MAX_FOREIGN_CORES,
    conditions,
    foreign_cores,
    last_level_cache,
    usage,
)
from lrn_deploy.latency.report import Calibration, Comparison, LatencyReport, Layers, Row
from lrn_deploy.latency.sampling import Samples, interleave
from lrn_deploy.latency.statistics import noise, pooled, summarize, throughput
from lrn_deploy.workflows.profile.compare import (
    Baseline,
    compare_artifacts,
    compare_bundles,
    compare_reports,
    pairs,
)
from lrn_deploy.workflows.profile.layers import measure_layers
from lrn_deploy.workflows.profile.options import ProfileOptions
from lrn_deploy.workflows.profile.preparation import time_preparation
from lrn_deploy.workflows.profile.subjects import Subject, load_subjects, matrix_products

REPORT = "reports/latency.json"
TIMED = (
    "from arrays in host memory to arrays in host memory, transfers to a GPU included; "
    "decoding and preprocessing of images are timed apart"
)
Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many of how many steps are done."""


def profile(
    bundle: Bundle,
    options: ProfileOptions | None = None,
    against: Baseline | None = None,
    on_progress: Progress | None = None,
) -> LatencyReport:
    """Measure every artifact, and write ``reports/latency.json``.

    A Ctrl-C while samples are taken ends the measurement: what was measured is reported and
    written, marked incomplete.

    Args:
        bundle: The bundle.
        options: How to profile.
        against: What to compare with.
        on_progress: Told what goes on.

    Raises:
        BadInputError: If a name does not exist, or there is nothing in common to compare.
        MissingError: If nothing can run here.
        DamagedError: If a file of the bundle is not what the manifest says.
        CannotWriteError: If the report cannot be written.
    """
    return _Profile(bundle, options or ProfileOptions(), against, on_progress or _silent).run()


class _Profile:
    """One run of :func:`profile`."""

    def __init__(
        self,
        bundle: Bundle,
        options: ProfileOptions,
        against: Baseline | None,
        on_progress: Progress,
    ) -> None:
        self.bundle = bundle
        self.options = options
        self.against = against
        self.tell = on_progress
        self.names = options.artifacts or tuple(bundle.manifest.artifacts)
        if isinstance(against, str) and against not in self.names:
            self.names = (*self.names, against)
        other = against if isinstance(against, Bundle) else None
        self.paired = pairs(bundle, other, self.names) if other else {}
        self.measured: list[tuple[Subject, int, Samples]] = []
        self.calibrated: dict[int, tuple[tuple[float, ...], ...]] = {}
        self.layers: list[Layers] = []
        self.untold: list[str] = []

    def run(self) -> LatencyReport:
        started = time.monotonic()
        before = conditions()
        with ExitStack() as stack:
            subjects = self._load()
            for subject in subjects:
                if subject.session is not None:
                    stack.enter_context(subject.session)
            self._require_some(subjects)
            self.tell("measuring the machine", 0, 1)
            preparation = time_preparation(self.bundle.manifest.preprocessing)
            hardware = self._hardware()
            first = usage()
            complete = self._measure(subjects)
            foreign = foreign_cores(first, usage())
            if complete:
                hardware = hardware.best_of(self._hardware())
                complete = self._time_layers(subjects)
        report = self._report(subjects, hardware, complete=complete).model_copy(
            update={
                "preparation": preparation,
                "conditions": before,
                "load_after": conditions().load,
                "foreign_cores": foreign,
                "seconds": round(time.monotonic() - started, 3),
            }
        )
        warnings = (*_warnings(report), *self.untold)
        report = report.model_copy(
            update={"comparisons": self._compare(report), "warnings": warnings}
        )
        self.bundle.add_file(REPORT, (report.model_dump_json(indent=1) + "\n").encode())
        return report

    def _load(self) -> list[Subject]:
        def on_load(what: str) -> None:
            self.tell(what, 0, 1)

        subjects = load_subjects(self.bundle, self.names, self.options, "this", on_load)
        if isinstance(self.against, Bundle):
            wanted = tuple(dict.fromkeys(self.paired.values()))
            subjects += load_subjects(self.against, wanted, self.options, "other", on_load)
        return subjects

    def _require_some(self, subjects: Sequence[Subject]) -> None:
        for device in self.options.devices or ("",):
            here = [item for item in subjects if runs_on(item.where, device)]
            if any(item.session is not None and item.label == "this" for item in here):
                continue
            reason = next((item.reason for item in (*here, *subjects) if item.reason), "none")
            raise MissingError(
                f"No artifact of the bundle can run {f'on {device}' if device else 'here'}: "
                f"{reason}",
                "'lrn-deploy doctor' lists the backends and how to enable them.",
            )

    def _hardware(self) -> Hardware:
        threads = self.options.threads or int(machine()["cores"])
        return measure(threads, last_level_cache(), matrix_products(self.options))

    def _measure(self, subjects: Sequence[Subject]) -> bool:
        """Take the samples, one interleaved run for each batch size; False if interrupted."""
        running = [subject for subject in subjects if subject.session is not None]
        sizes = sorted({batch for subject in running for batch in subject.batches})
        work = calibration.workload()
        for at, batch in enumerate(sizes):
            taking = {item.key: item for item in running if batch in item.batches}
            candidates = {key: item.candidate(batch) for key, item in taking.items()}

            def on_round(done: int, total: int, at: int = at, batch: int = batch) -> None:
                self.tell(f"batch {batch}", at * total + done, len(sizes) * total)

            self.tell(f"warming up for batch {batch}", at, len(sizes))
            run = interleave(
                {**candidates, calibration.NAME: work},
                self.options.effort,
                seed=batch,
                expected=(LrnDeployError,),
                on_round=on_round,
            )
            self.calibrated[batch] = _frozen(run.samples[calibration.NAME])
            self.measured += [(item, batch, run.samples[key]) for key, item in taking.items()]
            if not run.complete:
                if not any(samples.rounds for _, _, samples in self.measured):
                    raise KeyboardInterrupt  # there is nothing to keep
                return False
        return True

    def _time_layers(self, subjects: Sequence[Subject]) -> bool:
        """Where the time goes; False if interrupted."""
        typical = {
            subject.key: median(pooled(samples.rounds))
            for subject, batch, samples in self.measured
            if subject.label == "this" and samples.rounds and batch == min(subject.batches)
        }
        if not self.options.layers:
            return True
        try:
            self.layers, self.untold = measure_layers(
                self.bundle, subjects, typical, lambda what: self.tell(what, 0, 1)
            )
        except KeyboardInterrupt:
            return False
        return True

    def _report(
        self, subjects: Sequence[Subject], hardware: Hardware, *, complete: bool
    ) -> LatencyReport:
        rows = [item.row() for item in subjects if item.session is None]
        rows += [_row(*item, hardware) for item in self.measured]
        starts = tuple(item.start for item in subjects if item.start is not None)
        return LatencyReport(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            model=self.bundle.manifest.model.name,
            complete=complete,
            timed=TIMED,
            threads=self.options.threads,
            rows=tuple(rows),
            starts=starts,
            layers=tuple(self.layers),
            calibration=Calibration(version=calibration.VERSION, samples=self.calibrated),
            max_regression=self.options.max_regression,
            hardware=hardware,
            conditions=conditions(),
            load_after=None,
            foreign_cores=None,
            machine=machine(),
            versions=versions(),
            seconds=0.0,
        )

    def _compare(self, report: LatencyReport) -> tuple[Comparison, ...]:
        limit = self.options.max_regression
        if self.against is None:
            return ()
        if isinstance(self.against, Bundle):
            name = self.against.path.name
            found = compare_bundles(report.rows, self.paired, name, limit)
        elif isinstance(self.against, LatencyReport):
            found = compare_reports(report, self.against, limit)
        else:
            found = compare_artifacts(report.rows, self.against, limit)
        if not found and report.complete:
            raise BadInputError(
                "There is nothing to compare: no artifact ran on the same backend at the same "
                "batch size on both sides.",
                "'lrn-deploy inspect' lists the artifacts of a bundle.",
            )
        return found


def _row(subject: Subject, batch: int, samples: Samples, hardware: Hardware) -> Row:
    if not samples.rounds:
        return subject.row(batch, samples.error or "interrupted before its first round")
    summary = summarize(samples.rounds)
    bound = lower_bound(subject.work, hardware, batch) if subject.work else None
    return subject.row(batch, samples.error).model_copy(
        update={
            "summary": summary,
            "throughput": throughput(samples.rounds, batch),
            "noise": noise(samples.rounds),
            "steady": samples.steady,
            "warmup_runs": samples.warmup_runs,
            "bound": bound,
            "over_bound": summary.p50 / bound.seconds if bound and bound.seconds else None,
            "samples": _frozen(samples),
        }
    )


def _frozen(samples: Samples) -> tuple[tuple[float, ...], ...]:
    """The raw samples to the nanosecond, which is the clock's own resolution."""
    return tuple(tuple(round(value, 9) for value in taken) for taken in samples.rounds)


def _warnings(report: LatencyReport) -> tuple[str, ...]:
    """Why not to trust the numbers, and what is missing from them."""
    found = []
    if not report.complete:
        found.append("The measurement was interrupted: the report holds what was measured.")
    noisy = [row for row in report.rows if row.noise is not None and row.noise.noisy]
    if noisy:
        first = noisy[0]
        assert first.noise is not None
        found.append(
            f"The machine was too noisy to trust {len(noisy)} of the measurements; "
            f"{first.artifact} on {first.backend} at batch {first.batch}: "
            f"{'; '.join(first.noise.reasons)}."
        )
    if report.foreign_cores is not None and report.foreign_cores > MAX_FOREIGN_CORES:
        found.append(
            f"Other processes kept {report.foreign_cores:.1f} of {report.machine['cores']} cores "
            "busy meanwhile; measure again when they have ended."
        )
    unsteady = sum(bool(row.samples) and not row.steady for row in report.rows)
    if unsteady:
        found.append(f"{unsteady} measurement(s) began before warm-up had reached steady times.")
    return tuple(found)


def _silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""
