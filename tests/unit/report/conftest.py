"""Reports made by hand, with names that would break a page that does not escape them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.bundle import Artifact, Bundle, LrnLayer, Manifest, ModelSource, Weights
from lrn_deploy.bundle.store import dump
from lrn_deploy.latency.floor import Bound, Hardware
from lrn_deploy.latency.machine import Conditions
from lrn_deploy.latency.schema import (
    Calibration,
    Comparison,
    FirstRun,
    LatencyReport,
    Layers,
    LayerTime,
    Preparation,
    Row,
    Start,
)
from lrn_deploy.latency.statistics import Interval, Noise, Summary, summarize
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.parity.budget import Budget
from lrn_deploy.parity.metrics import Metrics
from lrn_deploy.parity.schema import Check, Drift, ParityReport
from lrn_deploy.tuning.demand import Demand
from lrn_deploy.tuning.schema import Candidate, Point, TuneReport

HOSTILE = "</style><script>alert('x')</script>&\"<img src=http://x.example/>"
DIGEST = "ab" * 32


def metrics(error: float, signal: float | None = None) -> Metrics:
    return Metrics(
        relative_l2=error,
        worst_relative_l2=2 * error,
        worst_input=0,
        error_over_signal=signal,
        max_abs=error,
        cosine=1.0,
        top1_agreement=None,
        top5_overlap=None,
        nonfinite=0,
        nonfinite_mismatches=0,
        inputs=2,
    )


def check(kind: Any, error: float, verdict: Any = "pass", **changes: Any) -> Check:
    fields = {
        "kind": kind,
        "artifact": "model",
        "backend": "onnxruntime:cpu",
        "metrics": metrics(error, 1.5 * error),
        "budget": Budget(relative_l2=1e-6, error_over_signal=5e-6),
        "verdict": verdict,
    }
    return Check(**{**fields, **changes})


@pytest.fixture
def manifest() -> Manifest:
    spec = LrnSpec(size=5, alpha=1e-4, beta=0.75, k=2.0)
    common: dict[str, Any] = {"input": "a", "output": "b", "shape": ("batch", 96, 27, 27)}
    return Manifest(
        model=ModelSource(
            name=HOSTILE,
            factory=HOSTILE,
            origin="factory",
            input_shape=(3, 8, 8),
            weights=Weights(kind="factory", sha256=DIGEST, note=HOSTILE),
        ),
        inputs=(),
        outputs=(),
        lrn_layers=(
            LrnLayer(name=HOSTILE, spec=spec, form="written out", reason=HOSTILE, **common),
            LrnLayer(name="norm2", spec=spec, form="kept", **common),
        ),
        artifacts={
            "model": Artifact(file="model.onnx", sha256=DIGEST, size=1_234_567, format="onnx"),
            HOSTILE: Artifact(
                file="other.onnx",
                sha256="cd" * 32,
                size=10,
                format="onnx",
                precision="int8",
                target="cpu",
                built_by={HOSTILE: HOSTILE},
                source="model",
            ),
        },
    )


@pytest.fixture
def parity() -> ParityReport:
    over = check("layer", 3e-5, "fail", subject="norm2", inputs="random", reason=HOSTILE)
    return ParityReport(
        created="2026-01-02T03:04:05+00:00",
        model="small",
        weights="random",
        reference="PyTorch 2",
        verdict="pass",
        artifacts={"model": DIGEST, HOSTILE: "cd" * 32},
        checks=(
            check("outputs", 1.25e-7, inputs="photographs", batch=1),
            check("outputs", 2.5e-7, inputs="photographs", batch=3),
            check("probe", 6.125e-8, subject="norm1", inputs="amplitude 0.001"),
            check("probe", 9.1e-6, "limited", subject="norm1", inputs="amplitude 10000"),
            check("probe", float("inf"), "fail", subject=HOSTILE, inputs="amplitude 1"),
            check("layer", 0.0, subject="conv1", inputs="random"),
            over,
            check(
                "outputs", 0, "skipped", artifact=HOSTILE, metrics=None, budget=None, reason=HOSTILE
            ),
        ),
        drift=(
            Drift(artifact="model", backend="onnxruntime:cpu", first=over, compared=2),
            Drift(artifact=HOSTILE, backend="b", first=None, compared=7, missing=(HOSTILE,)),
        ),
        activity={"photographs": {"norm1": 0.01234}, HOSTILE: {"norm1": 3.5}},
        warnings=(HOSTILE,),
        machine={"processor": HOSTILE},
        versions={"torch": "2.13"},
        seconds=1.5,
    )


def row(backend: str, batch: int, seconds: float, **changes: Any) -> Row:
    samples = (tuple(seconds * (1 + at / 100) for at in range(10)),) * 6
    fields = {
        "artifact": "model",
        "sha256": DIGEST,
        "backend": backend,
        "precision": "fp32",
        "batch": batch,
        "summary": summarize(samples),
        "throughput": batch / seconds,
        "noise": Noise(noisy=False, median_width=0.01, drift=0.0),
        "bound": Bound(seconds / 4, seconds / 4, 0.0, 1000, 1000),
        "over_bound": 4.0,
        "samples": samples,
    }
    return Row(**{**fields, **changes})


@pytest.fixture
def latency() -> LatencyReport:
    prepared = Summary(9, *(0.002 for _ in range(9)))
    return LatencyReport(
        created="2026-01-02T03:04:06+00:00",
        model="small",
        complete=True,
        timed=HOSTILE,
        threads=0,
        rows=(
            row("onnxruntime:cpu", 1, 0.004321),
            row("onnxruntime:cpu", 8, 0.02),
            row("openvino:cpu", 1, 0.002, noise=Noise(True, None, 0.0, (HOSTILE,))),
            Row(artifact=HOSTILE, sha256=DIGEST, backend="", precision="fp32", reason=HOSTILE),
        ),
        starts=(
            Start(artifact="model", backend="b", cost=FirstRun(load=0.5, first=0.25)),
            Start(artifact=HOSTILE, backend="b", cost=FirstRun(error=HOSTILE)),
        ),
        layers=(
            Layers(
                artifact="model",
                sha256=DIGEST,
                backend="onnxruntime:cpu",
                batch=1,
                runs=6,
                whole=0.004,
                rest=0.00025,
                layers=(
                    LayerTime(name=HOSTILE, kind="Conv", seconds=0.00225, share=0.5625),
                    LayerTime(name="norm1", kind="LRN", seconds=0.001, share=0.25),
                    LayerTime(name="norm2", kind="LRN", seconds=0.0005, share=0.125),
                ),
            ),
        ),
        preparation=Preparation(image=HOSTILE, decode=prepared, preprocess=prepared),
        calibration=Calibration(version=1, samples={}),
        comparisons=(
            Comparison(
                artifact="model",
                against=HOSTILE,
                backend="b",
                batch=1,
                ratio=Interval(1.1, 1.2345, 1.3),
                answer="regression",
            ),
        ),
        max_regression=0.05,
        hardware=Hardware(39e9, 80e9, 1 << 20, {"fp32": 2e11}),
        conditions=Conditions((0, 1), (2000.0, 3000.0), "performance", 0.5, None),
        load_after=0.75,
        foreign_cores=0.125,
        warnings=("too noisy",),
        machine={"processor": "p"},
        versions={"numpy": "2"},
        seconds=12.0,
    )


def candidate(backend: str, error: float, seconds: float, **changes: Any) -> Candidate:
    samples = ((seconds,),) * 6
    point = Point(
        batch=2,
        median=Interval(seconds, seconds, seconds),
        seconds=seconds,
        throughput=2 / seconds,
        noise=Noise(noisy=False, median_width=0.01, drift=0.0),
        samples=samples,
    )
    fields = {
        "artifact": "model",
        "sha256": DIGEST,
        "backend": backend,
        "threads": 2,
        "precision": "fp32",
        "metrics": metrics(error),
        "within": True,
        "points": (point,),
    }
    return Candidate(**{**fields, **changes})


@pytest.fixture
def tune(latency: LatencyReport) -> TuneReport:
    return TuneReport(
        created="2026-01-02T03:04:07+00:00",
        model="small",
        complete=True,
        demand=Demand(max_error=1e-2, min_agreement=None, batch=2),
        inputs=HOSTILE,
        candidates=(
            candidate("openvino:cpu", 1.375e-3, 0.004, front=True),
            candidate("onnxruntime:cpu", 0.0, 0.0123, front=True),
            candidate("onnxruntime:cpu", 0.5, 0.0035, within=False, reason="error too large"),
            candidate(HOSTILE, 0, 1, metrics=None, within=False, points=(), reason=HOSTILE),
        ),
        chosen=0,
        batch=2,
        explanation="The first is fastest.",
        conditions=latency.conditions,
        load_after=None,
        foreign_cores=None,
        machine={"processor": "p"},
        versions={"numpy": "2"},
        seconds=9.0,
    )


@pytest.fixture
def bundle(tmp_path: Path, manifest: Manifest) -> Bundle:
    """A bundle without reports."""
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "manifest.json").write_bytes(dump(manifest))
    return Bundle.open(path)
