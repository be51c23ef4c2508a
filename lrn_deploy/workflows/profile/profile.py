"""Profile a bundle: every artifact on every backend that runs here, in turns, with raw samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from statistics import median

from lrn_deploy.bundle import Bundle
from lrn_deploy.environment import cores
from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError
from lrn_deploy.latency import yardstick
from lrn_deploy.latency.circumstances import Measurement
from lrn_deploy.latency.floor import Hardware, lower_bound, measure
from lrn_deploy.latency.machine import last_level_cache
from lrn_deploy.latency.sampling import Timings, interleave
from lrn_deploy.latency.schema import Calibration, Comparison, LatencyReport, Layers, Row
from lrn_deploy.latency.statistics import noise, pooled, summarize, throughput
from lrn_deploy.progress import Progress, silent
from lrn_deploy.workflows.outcome import Reported
from lrn_deploy.workflows.profile.compare import (
    Measured,
    compare_artifacts,
    compare_bundles,
    compare_reports,
    pairs,
    read_baseline,
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


def profile(
    bundle: Bundle,
    options: ProfileOptions | None = None,
    progress: Progress = silent,
) -> Reported[LatencyReport]:
    """Measure every artifact, and write ``reports/latency.json``.

    A Ctrl-C while samples are taken ends the measurement: what was measured is reported and
    written, marked incomplete.

    Args:
        bundle: The bundle.
        options: How to profile, and what to compare with.
        progress: Told what goes on.

    Raises:
        BadInputError: If a name does not exist, or there is nothing in common to compare.
        MissingError: If nothing can run here.
        DamagedError: If a file of the bundle is not what the manifest says.
        CannotWriteError: If the report cannot be written.
    """
    return _Profile(bundle, options or ProfileOptions(), progress).run()


class _Profile:
    """One run of :func:`profile`."""

    def __init__(self, bundle: Bundle, options: ProfileOptions, progress: Progress) -> None:
        self.bundle = bundle
        self.options = options
        against = None if options.against is None else read_baseline(bundle, str(options.against))
        self.against = against
        self.progress = progress
        self.names = options.artifacts or tuple(bundle.manifest.artifacts)
        if isinstance(against, str) and against not in self.names:
            self.names = (*self.names, against)
        other = against if isinstance(against, Bundle) else None
        self.paired = pairs(bundle, other, self.names) if other else {}
        self.measured: list[tuple[Subject, int, Timings]] = []
        self.calibrated: dict[int, tuple[tuple[float, ...], ...]] = {}
        self.layers: list[Layers] = []
        self.untold: list[str] = []

    def run(self) -> Reported[LatencyReport]:
        with Measurement() as around, ExitStack() as stack:
            subjects = self._load()
            for subject in subjects:
                if subject.session is not None:
                    stack.enter_context(subject.session)
            self._require_some(subjects)
            self.progress("measuring the machine", 0, 1)
            preparation = time_preparation(self.bundle.manifest.preprocessing)
            hardware = self._hardware()
            with around.timing():
                complete = self._measure(subjects)
            if complete:
                hardware = hardware.best_of(self._hardware())
                complete = self._time_layers(subjects)
        rows = (
            *(subject.row() for subject in subjects if subject.session is None),
            *(_row(*measured, hardware) for measured in self.measured),
        )
        calibrated = Calibration(version=yardstick.VERSION, samples=self.calibrated)
        now = Measured(rows, calibrated, around.fields["machine"], self.options.threads)
        report = LatencyReport(
            **around.fields,
            model=self.bundle.manifest.model.name,
            complete=complete,
            timed=TIMED,
            threads=now.threads,
            rows=rows,
            starts=tuple(subject.start for subject in subjects if subject.start is not None),
            layers=tuple(self.layers),
            preparation=preparation,
            calibration=calibrated,
            comparisons=self._compare(now, complete=complete),
            max_regression=self.options.max_regression,
            hardware=hardware,
            warnings=(
                *_warnings(rows, complete=complete),
                *around.crowded("measure"),
                *_unsteady(rows),
                *self.untold,
            ),
        )
        self.bundle.add_file(REPORT, (report.model_dump_json(indent=1) + "\n").encode())
        return Reported(self.bundle, report)

    def _load(self) -> list[Subject]:
        subjects = load_subjects(self.bundle, self.names, self.options, "this", self.progress)
        if isinstance(self.against, Bundle):
            wanted = tuple(dict.fromkeys(self.paired.values()))
            subjects += load_subjects(self.against, wanted, self.options, "other", self.progress)
        return subjects

    def _require_some(self, subjects: Sequence[Subject]) -> None:
        for device in self.options.devices or ("",):
            here = [subject for subject in subjects if subject.placement.on(device)]
            if any(subject.session is not None and subject.label == "this" for subject in here):
                continue
            reason = next(
                (subject.reason for subject in (*here, *subjects) if subject.reason), "none"
            )
            raise MissingError(
                f"No artifact of the bundle can run {f'on {device}' if device else 'here'}: "
                f"{reason}",
                "'lrn-deploy doctor' lists the backends and how to enable them.",
            )

    def _hardware(self) -> Hardware:
        threads = self.options.threads or cores()
        return measure(threads, last_level_cache(), matrix_products(self.options))

    def _measure(self, subjects: Sequence[Subject]) -> bool:
        """Take the samples, one interleaved run for each batch size; False if interrupted."""
        running = [subject for subject in subjects if subject.session is not None]
        sizes = sorted({batch for subject in running for batch in subject.batches})
        work = yardstick.workload()
        for at, batch in enumerate(sizes):
            taking = {subject.key: subject for subject in running if batch in subject.batches}
            candidates = {key: subject.candidate(batch) for key, subject in taking.items()}

            def on_round(done: int, total: int, at: int = at, batch: int = batch) -> None:
                self.progress(f"batch {batch}", at * total + done, len(sizes) * total)

            self.progress(f"warming up for batch {batch}", at, len(sizes))
            run = interleave(
                {**candidates, yardstick.NAME: work},
                self.options.effort,
                seed=batch,
                expected=(LrnDeployError,),
                on_round=on_round,
            )
            self.calibrated[batch] = _frozen(run.samples[yardstick.NAME])
            self.measured += [(subject, batch, run.samples[key]) for key, subject in taking.items()]
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
            self.layers, self.untold = measure_layers(self.bundle, subjects, typical, self.progress)
        except KeyboardInterrupt:
            return False
        return True

    def _compare(self, now: Measured, *, complete: bool) -> tuple[Comparison, ...]:
        limit = self.options.max_regression
        if self.against is None:
            return ()
        if isinstance(self.against, Bundle):
            name = self.against.path.name
            found = compare_bundles(now.rows, self.paired, name, limit)
        elif isinstance(self.against, LatencyReport):
            found = compare_reports(now, self.against, limit)
        else:
            found = compare_artifacts(now.rows, self.against, limit)
        if not found and complete:
            raise BadInputError(
                "There is nothing to compare: no artifact ran on the same backend at the same "
                "batch size on both sides.",
                "'lrn-deploy inspect' lists the artifacts of a bundle.",
            )
        return found


def _row(subject: Subject, batch: int, samples: Timings, hardware: Hardware) -> Row:
    if not samples.rounds:
        return subject.row(batch, samples.error or "interrupted before its first round")
    summary = summarize(samples.rounds)
    bound = lower_bound(subject.work, hardware, batch) if subject.work else None
    return subject.row(
        batch,
        samples.error,
        summary=summary,
        throughput=throughput(samples.rounds, batch),
        noise=noise(samples.rounds),
        steady=samples.steady,
        warmup_runs=samples.warmup_runs,
        bound=bound,
        over_bound=summary.p50 / bound.seconds if bound and bound.seconds else None,
        samples=_frozen(samples),
    )


def _frozen(samples: Timings) -> tuple[tuple[float, ...], ...]:
    """The raw samples to the nanosecond, which is the clock's own resolution."""
    return tuple(tuple(round(value, 9) for value in taken) for taken in samples.rounds)


def _warnings(rows: Sequence[Row], *, complete: bool) -> Iterator[str]:
    """Why not to trust the numbers, and what is missing from them."""
    if not complete:
        yield "The measurement was interrupted: the report holds what was measured."
    noisy = [row for row in rows if row.noise is not None and row.noise.noisy]
    if noisy:
        first = noisy[0]
        assert first.noise is not None
        yield (
            f"The machine was too noisy to trust {len(noisy)} of the measurements; "
            f"{first.artifact} on {first.backend} at batch {first.batch}: "
            f"{'; '.join(first.noise.reasons)}."
        )


def _unsteady(rows: Sequence[Row]) -> Iterator[str]:
    unsteady = sum(bool(row.samples) and not row.steady for row in rows)
    if unsteady:
        yield f"{unsteady} measurement(s) began before warm-up had reached steady times."
