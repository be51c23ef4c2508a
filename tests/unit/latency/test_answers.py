"""What a report of times answers, and the workloads that it is measured with."""

from __future__ import annotations

import inspect

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from lrn_deploy.latency import yardstick
from lrn_deploy.latency.circumstances import Measurement
from lrn_deploy.latency.effort import Effort
from lrn_deploy.latency.floor import MATRIX, numpy_product, product_graph, product_input
from lrn_deploy.latency.schema import Comparison, LatencyReport, Row
from lrn_deploy.latency.statistics import Answer, noise
from lrn_deploy.parity.schema import ParityReport


def comparison(answer: Answer) -> Comparison:
    return Comparison(
        artifact="model", against="itself", backend="onnxruntime:cpu", batch=1, ratio=None,
        answer=answer,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "regressed"),
    [
        ((), False),
        (("within",), False),
        (("inconclusive", "within"), False),
        (("within", "regression", "within"), True),
    ],
)
def test_one_regression_is_enough(answers: tuple[Answer, ...], regressed: bool) -> None:
    report = LatencyReport.model_construct(comparisons=tuple(map(comparison, answers)))
    assert report.regressed is regressed


@pytest.mark.parametrize(
    ("kind", "dtype", "out"), [("fp32", np.float32, np.float32), ("int8", np.uint8, np.int32)]
)
def test_a_product_takes_what_is_made_for_it(kind: str, dtype: type, out: type) -> None:
    x = product_input(kind)
    assert (x.shape, x.dtype) == ((MATRIX, MATRIX), dtype)
    assert (x.min(), x.max()) == (0, 99)
    model = onnx.load_from_string(product_graph(kind))
    types = [
        value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)
    ]
    assert [onnx.helper.tensor_dtype_to_np_dtype(kind) for kind in types] == [dtype, out]
    (y,) = ReferenceEvaluator(model).run(None, {"x": x[:2]})
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0])
    assert (y.shape, y.dtype) == ((2, MATRIX), out)
    np.testing.assert_allclose(y, x[:2].astype(np.float64) @ weight, rtol=1e-4, atol=1e-2)
    if kind == "int8":
        assert (weight.dtype, weight.min(), weight.max()) == (np.int8, -64, 63)


def test_numpys_product_is_one_of_two_matrices() -> None:
    product = numpy_product()
    first, second = product(), product()
    assert isinstance(first, np.ndarray)
    assert first is second  # into the same memory each time
    assert first.shape == (MATRIX, MATRIX)
    np.testing.assert_allclose(first, first.T, rtol=1e-3, atol=1e-2)  # a matrix by its transpose


@pytest.mark.parametrize(("busy", "warned"), [(None, False), (0.25, False), (0.26, True)])
def test_others_that_kept_more_than_a_quarter_of_a_core_busy_are_told(
    busy: float | None, warned: bool
) -> None:
    with Measurement() as measurement:
        pass
    measurement.fields |= {"foreign_cores": busy, "machine": {"cores": "2"}}
    told = measurement.crowded("measure")
    assert told == (
        ("Other processes kept 0.3 of 2 cores busy meanwhile; measure again when they have ended.",)
        if warned
        else ()
    )


@pytest.mark.parametrize("unit", [1.0, 0.01, 100.0])
def test_the_width_of_a_median_is_a_part_of_it_in_any_unit(unit: float) -> None:
    samples = [[unit * value] for value in (0.93, 1.07, 1.0, 0.93, 1.07)]
    assert noise(samples).median_width == pytest.approx(0.07)
    wide = noise([[unit * value for value in (1.0, 2.0, 1.0, 2.0)]] * 10)
    assert "spreads over 67%" in " ".join(wide.reasons)


def test_a_row_that_was_not_measured_has_nothing_in_it() -> None:
    row = Row(artifact="model", sha256="ab", backend="onnxruntime:cuda:1", precision="fp32")
    assert (row.bundle, row.batch, row.reason, row.warmup_runs, row.steady) == (
        "this", None, "", 0, False,
    )  # fmt: skip
    assert (row.summary, row.throughput, row.noise, row.bound, row.over_bound) == (None,) * 5
    assert row.samples == ()
    placement = row.placement
    assert (placement.artifact, placement.backend, placement.device, placement.threads) == (
        "model", "onnxruntime", "cuda:1", 0,
    )  # fmt: skip


def test_times_of_one_version_of_the_calibration_are_of_the_same_work() -> None:
    run = yardstick.workload()
    held = inspect.getclosurevars(run).nonlocals
    matrix, out, values = (held[name] for name in ("matrix", "out", "values"))
    assert (matrix.shape, matrix.dtype) == ((384, 384), np.float32)
    assert (values.nbytes, values.dtype) == (16 * 2**20, np.float32)
    assert yardstick.VERSION == 1
    run()
    np.testing.assert_allclose(out, matrix @ matrix, rtol=1e-4, atol=1e-3)


def test_how_long_is_measured_if_nobody_says() -> None:
    assert (Effort().rounds, Effort().seconds, Effort().min_rounds) == (30, 20.0, 5)


def test_reports_say_the_version_of_their_fields() -> None:
    """Raised when a field changes its meaning, for those who read old reports."""
    assert LatencyReport.model_fields["schema_version"].default == 1
    assert ParityReport.model_fields["schema_version"].default == 1
