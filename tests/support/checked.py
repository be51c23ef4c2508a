"""A bundle with a report of parity that nobody had to measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lrn_deploy.bundle import Bundle
from lrn_deploy.parity.budget import Budget
from lrn_deploy.parity.metrics import compare
from lrn_deploy.parity.schema import Check, ParityReport

EXACT = compare([[1.0, 2.0]], [[1.0, 2.0]])
OFF = compare([[1.0, 2.1]], [[1.0, 2.0]])
"""By 0.1 / sqrt(5), 4.5 %."""


def check(verdict: Any = "pass", backend: str = "onnxruntime:cpu", metrics: Any = EXACT) -> Check:
    """A check of the canonical graph's output."""
    return Check(
        kind="outputs",
        artifact="model",
        backend=backend,
        inputs="natural",
        metrics=metrics,
        budget=Budget(relative_l2=1e-4),
        verdict=verdict,
    )


def write_checks(
    bundle: Bundle, checks: Sequence[Check], digests: Mapping[str, str] | None = None
) -> None:
    """Give a bundle a report of these checks.

    Args:
        bundle: The bundle.
        checks: What was compared.
        digests: SHA-256 of the artifacts that were checked; None: those there are.
    """
    artifacts = bundle.manifest.artifacts
    report = ParityReport(
        created="2026-11-28T01:02:03+00:00",
        model=bundle.manifest.model.name,
        machine={},
        versions={},
        seconds=1.0,
        weights="",
        reference="PyTorch 2.11",
        verdict="pass",
        artifacts={name: item.sha256 for name, item in artifacts.items()} | dict(digests or {}),
        checks=tuple(checks),
        activity={},
    )
    bundle.add_file("reports/parity.json", report.model_dump_json().encode())
