"""An artifact's outputs are judged once in each runtime, whatever the number of threads."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from lrn_deploy.backends.protocol import Backend
from lrn_deploy.latency.machine import usage
from lrn_deploy.parity.metrics import Metrics, compare
from lrn_deploy.placement import Placement
from lrn_deploy.tuning.ledger import Ledger
from lrn_deploy.tuning.schema import Candidate
from lrn_deploy.workflows.tune import field as tune_field
from lrn_deploy.workflows.tune.contenders import Contender, Truth
from lrn_deploy.workflows.tune.evaluation import Evaluation
from lrn_deploy.workflows.tune.field import Field
from lrn_deploy.workflows.tune.options import TuneOptions

TRUTH = np.array([[3.0, 4.0]])


def field(**options: Any) -> Field:
    return Field(
        cast(Any, None),
        TuneOptions(max_error=3e-2, **options),
        (2, 1),
        (1,),
        Evaluation({"input": np.zeros((1, 1))}, ""),
        Truth({"y": TRUTH}, Placement("model", "onnxruntime", "cpu"), ""),
        lambda *_: None,
        Ledger(),
        usage(),
    )


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The errors that each judgement was given, None where it has to measure them: they are 0.2."""
    given: list[float | None] = []

    def screen(item: Contender, *rest: Any) -> Candidate:
        errors: Metrics | None = rest[-1]
        given.append(None if errors is None else errors.relative_l2)
        measured = compare(np.array([[3.0, 5.0]]), TRUTH)  # off by 1 of 5
        return item.candidate.model_copy(update={"metrics": errors or measured})

    monkeypatch.setattr(tune_field, "screen", screen)
    return given


def judge(field: Field, artifact: str, where: str, threads: int) -> Contender:
    row = Candidate(artifact=artifact, sha256="", backend=where, threads=threads, precision="")
    return field.judge(Contender(row, cast(Backend, None)))


def test_another_number_of_threads_has_the_same_errors(known: list[float | None]) -> None:
    quick = field()
    judge(quick, "cpu-int8", "onnxruntime:cpu", 2)
    other = judge(quick, "cpu-int8", "onnxruntime:cpu", 1)
    quick.time_again(other)
    judge(quick, "cpu-int8", "openvino:cpu", 1)
    judge(quick, "cpu-w8", "onnxruntime:cpu", 1)
    assert known == [None, pytest.approx(0.2), pytest.approx(0.2), None, None]


def test_the_reference_has_no_errors_where_it_ran(known: list[float | None]) -> None:
    quick = field()
    judge(quick, "model", "onnxruntime:cpu", 2)
    judge(quick, "model", "openvino:cpu", 2)
    assert known == [0.0, None]


def test_the_thorough_way_judges_everybody(known: list[float | None]) -> None:
    thorough = field(thorough=True)
    judge(thorough, "model", "onnxruntime:cpu", 2)
    judge(thorough, "model", "onnxruntime:cpu", 1)
    assert known == [None, None]
