"""What ``profile`` says of times that are not to be trusted, on rows made by hand."""

from __future__ import annotations

from typing import Any

from lrn_deploy.latency.schema import Row
from lrn_deploy.latency.statistics import noise
from lrn_deploy.workflows.profile import profile


def row(batch: int, rounds: list[list[float]], **more: Any) -> Row:
    return Row(
        artifact="model",
        sha256="00" * 32,
        backend="onnxruntime:cpu",
        precision="fp32",
        batch=batch,
        samples=tuple(map(tuple, rounds)),
        noise=noise(rounds) if rounds else None,
        **more,
    )


QUIET, LOUD = [[1.0]] * 20, [[1.0]] * 10 + [[1.2]] * 10


def test_what_is_steady_complete_and_quiet_needs_no_warning() -> None:
    rows = (row(1, QUIET, steady=True), row(2, QUIET, steady=True))
    assert [*profile._warnings(rows, complete=True), *profile._unsteady(rows)] == []


def test_the_noisy_are_counted_and_the_first_is_told() -> None:
    rows = (row(1, QUIET), row(2, LOUD), row(4, LOUD))
    (told,) = profile._warnings(rows, complete=True)
    assert told.startswith("The machine was too noisy to trust 2 of the measurements; ")
    assert "model on onnxruntime:cpu at batch 2: " in told
    assert "moved by +20%" in told


def test_an_interrupted_measurement_says_so() -> None:
    (told,) = profile._warnings((row(1, QUIET),), complete=False)
    assert told.startswith("The measurement was interrupted")


def test_those_that_were_never_steady_are_counted_if_they_were_measured() -> None:
    rows = (row(1, QUIET, steady=False), row(2, QUIET, steady=True), row(4, [], steady=False))
    assert list(profile._unsteady(rows)) == [
        "1 measurement(s) began before warm-up had reached steady times."
    ]
