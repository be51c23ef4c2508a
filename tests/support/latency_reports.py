"""What ``profile`` would have written, of times that a test chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lrn_deploy.bundle import Bundle
from lrn_deploy.latency.machine import Conditions
from lrn_deploy.latency.schema import Calibration, LatencyReport, Preparation, Row
from lrn_deploy.latency.statistics import summarize
from lrn_deploy.sizing.profiles import REPORT

Times = Mapping[str, Mapping[int, Sequence[float]]]
"""Seconds of runs by ``ARTIFACT on BACKEND`` and batch size."""


def latency_report(
    bundle: Bundle, times: Times, *, threads: int = 1, cores: int = 4, prepare: float = 0.002
) -> LatencyReport:
    """A report of times on a machine of so many cores; an image takes ``prepare`` seconds."""
    artifacts = bundle.manifest.artifacts
    rows = []
    for name, sizes in times.items():
        artifact, _, backend = name.partition(" on ")
        for batch, seconds in sizes.items():
            rows.append(
                Row(
                    artifact=artifact,
                    sha256=artifacts[artifact].sha256 if artifact in artifacts else "00" * 32,
                    backend=backend,
                    precision="fp32",
                    batch=batch,
                    samples=(tuple(seconds),),
                )
            )
    half = summarize([[prepare / 2]])
    return LatencyReport(
        created="2026-01-02T03:04:05+00:00",
        model=bundle.manifest.model.name,
        complete=True,
        timed="by hand",
        threads=threads,
        rows=tuple(rows),
        preparation=Preparation(image="JPEG, 640 x 427 pixels", decode=half, preprocess=half),
        calibration=Calibration(version=1, samples={}),
        max_regression=0.05,
        conditions=Conditions((), (), "unknown", None, None),
        load_after=None,
        foreign_cores=None,
        machine={"processor": "A processor", "cores": str(cores), "system": "Linux"},
        versions={},
        seconds=1.0,
    )


def with_profile(bundle: Bundle, times: Times, **further: Any) -> Bundle:
    """The bundle with that report in it."""
    report = latency_report(bundle, times, **further)
    bundle.add_file(REPORT, report.model_dump_json().encode())
    return bundle
