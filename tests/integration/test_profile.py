from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.backends.protocol import Probe
from lrn_deploy.bundle import Artifact, Bundle
from lrn_deploy.cli import run
from lrn_deploy.errors import BadInputError, DamagedError
from lrn_deploy.latency import sampling
from lrn_deploy.latency.effort import Effort
from lrn_deploy.latency.floor import Hardware
from lrn_deploy.latency.schema import FirstRun, LatencyReport, Row
from lrn_deploy.latency.statistics import summarize
from lrn_deploy.workflows.profile import first_run
from lrn_deploy.workflows.profile import subjects as profile_subjects
from lrn_deploy.workflows.profile.compare import compare_reports, read_baseline
from lrn_deploy.workflows.profile.options import ProfileOptions, powers_up_to
from lrn_deploy.workflows.profile.profile import REPORT, profile
from tests.support.exported import exported
from tests.support.steady_machine import SteadyMachine

pytestmark = pytest.mark.usefixtures("brisk")

QUICK = ProfileOptions(
    batches=(1, 2), effort=Effort(6, 2.0), devices=("cpu",), first_run=False, artifacts=("model",)
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "digits"
    return exported("digits", path).path


@pytest.fixture
def bundle(digits: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(digits, tmp_path / "digits"))


@pytest.fixture(scope="module")
def report(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> LatencyReport:
    copy = shutil.copytree(digits, tmp_path_factory.mktemp("measured") / "digits")
    return profile(Bundle.open(Path(copy)), QUICK).report


@pytest.fixture(autouse=True, scope="module")
def without_openvino() -> Iterator[None]:
    """One backend, whether or not OpenVINO is installed."""
    absent = Probe(False, None, "left out here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenVinoBackend, "probe", lambda _self: absent)
        yield


@pytest.fixture
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the machine's rates nor first runs are measured again: other tests show how."""
    start = FirstRun(load=0.1, first=0.01, peak_memory=2 << 20, base_memory=1 << 20)
    monkeypatch.setattr(profile_subjects, "measure_first_run", lambda *_, **__: start)
    rates = Hardware(2e10, 1e11, 32 << 20, {"fp32": 5e10})
    monkeypatch.setattr("lrn_deploy.workflows.profile.profile.measure", lambda *_arguments: rates)
    monkeypatch.setattr("lrn_deploy.workflows.profile.profile.matrix_products", lambda _options: {})


@pytest.fixture
def steady_machine(monkeypatch: pytest.MonkeyPatch) -> SteadyMachine:
    return SteadyMachine(monkeypatch)


def stored(path: Path) -> LatencyReport:
    return LatencyReport.model_validate_json((path / REPORT).read_bytes())


def test_the_command_measures_and_keeps_everything(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["profile", str(bundle), "--max-batch", "3", "--repeats", "6", "--device", "cpu"]
    assert run([*words, "--threads", "1", "--json"]) == 0
    printed = capsys.readouterr()
    answer = LatencyReport.model_validate_json(printed.out)
    assert answer == stored(bundle)
    measured = [row for row in answer.rows if row.samples]
    assert [row.batch for row in measured] == [1, 2, 3]
    (absent,) = (row for row in answer.rows if not row.samples)
    assert (absent.backend, absent.reason) == ("openvino:cpu", "left out here")
    for row in measured:
        assert row.summary is not None
        assert len(row.samples) == 6
        assert row.summary.count == sum(len(taken) for taken in row.samples)
        assert row.summary.p50 <= row.summary.p90 <= row.summary.p99 <= row.summary.max
        assert row.bound is not None
        assert row.bound.seconds > 0
        assert row.over_bound == pytest.approx(row.summary.p50 / row.bound.seconds)
    (start,) = answer.starts
    assert start.cost.load is not None
    assert start.cost.peak_memory is not None
    assert start.cost.base_memory is not None
    assert start.cost.peak_memory > start.cost.base_memory > 1e6
    assert answer.preparation is not None
    assert set(answer.calibration.samples) == {1, 2, 3}
    assert answer.threads == 1
    assert "p99" in printed.err
    assert "First answer of model" in printed.err
    assert "most time in model on onnxruntime:cpu" in printed.err


def test_where_the_time_goes(report: LatencyReport) -> None:
    (found,) = report.layers
    assert (found.artifact, found.backend, found.batch) == ("model", "onnxruntime:cpu", 1)
    lrn = [layer for layer in found.layers if layer.kind == "LRN"]
    convolutions = [layer for layer in found.layers if layer.kind == "Conv"]
    assert len(lrn) == 2  # models/digits.py
    assert len(convolutions) == 3
    assert all(layer.seconds > 0 for layer in (*lrn, *convolutions))
    assert 0 < found.rest < found.whole
    assert found.layers[0].share == pytest.approx(found.layers[0].seconds / found.whole)


@pytest.mark.usefixtures("known_machine")
def test_layers_that_cannot_be_timed_are_said(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_arguments: Any) -> None:
        raise DamagedError("The trace is empty.")

    monkeypatch.setattr(OnnxRuntimeBackend, "layer_times", fail)
    words = ["profile", str(bundle), "--device", "cpu", "--max-batch", "1", "--repeats", "5"]
    assert run(words) == 0
    shown = " ".join(capsys.readouterr().out.split())
    sentence = "The layers of model on onnxruntime:cpu could not be timed: The trace is empty."
    assert f"Warning: {sentence}" in shown
    assert stored(bundle).layers == ()
    assert run([*words, "--no-layers"]) == 0
    assert "could not be timed" not in capsys.readouterr().out


def test_work_of_digits_by_hand(report: LatencyReport) -> None:
    # models/digits.py: 3x3 convolutions 1 to 32 on 8x8, 32 to 32 on 4x4 and 32 to 64 on 2x2, then
    # 256 to 10: 18432 + 147456 + 73728 + 2560 multiply-adds; 288 + 9216 + 18432 + 2560 floats.
    bounds = {row.batch: row.bound for row in report.rows}
    first, second = bounds[1], bounds[2]
    assert first is not None
    assert second is not None
    assert (first.macs, second.macs) == (242176, 2 * 242176)
    assert first.weight_bytes == second.weight_bytes == 4 * 30496


@pytest.mark.usefixtures("known_machine")
def test_what_cannot_be_loaded_is_a_row_with_its_reason(bundle: Path) -> None:
    node = helper.make_node("NoSuchOperator", ["x"], ["y"])
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy"]
    model = helper.make_model(
        helper.make_graph([node], "g", value[:1], value[1:]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    opened = Bundle.open(bundle)
    graph = opened.add_file("variants/broken.onnx", model.SerializeToString())
    opened = opened.add_artifact("broken", Artifact(**graph.model_dump(), format="onnx"))
    engine = opened.add_file("engines/e.plan", b"plan")
    opened = opened.add_artifact("engine", Artifact(**engine.model_dump(), format="tensorrt-rtx"))
    options = ProfileOptions(batches=(1,), effort=Effort(5, 1.0), devices=("cpu",), first_run=False)
    rows = {
        row.artifact: row
        for row in profile(opened, options).report.rows
        if not row.backend.startswith("openvino")
    }
    assert "NoSuchOperator" in rows["broken"].reason
    assert rows["broken"].samples == ()
    assert "no backend on cpu runs the format tensorrt-rtx" in rows["engine"].reason
    assert rows["model"].samples


def test_a_runtime_that_dies_takes_its_own_process_only(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Bundle.open(bundle)
    dead = subprocess.CompletedProcess([], -6, "", "terminate called\nAborted\n")
    monkeypatch.setattr(first_run.subprocess, "run", lambda *_args, **_kwargs: dead)
    options = ProfileOptions(batches=(1,), devices=("cpu",))
    subject, _ = profile_subjects.load_subjects(opened, ("model",), options, "this", print)
    assert subject.session is None
    assert subject.reason == "the process ended with -6: Aborted"


@pytest.mark.usefixtures("known_machine")
def test_ctrl_c_keeps_what_was_measured(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turn, calls = sampling._turn, []

    def interrupted(*arguments: Any) -> list[float]:
        calls.append(1)
        if len(calls) > 15:  # two candidates: the model and the calibration
            raise KeyboardInterrupt
        return turn(*arguments)

    # The preparation of images is timed by the same function, in ten rounds of two before.
    monkeypatch.setattr(
        "lrn_deploy.workflows.profile.profile.time_preparation", lambda _preprocessing: None
    )
    monkeypatch.setattr(sampling, "_turn", interrupted)
    assert run(["profile", str(bundle), "--device", "cpu", "--max-batch", "2"]) == 130
    answer = stored(bundle)
    assert not answer.complete
    (row,) = (row for row in answer.rows if row.batch is not None)
    assert row.batch == 1
    assert len(row.samples) in (7, 8)
    assert row.summary is not None
    assert "interrupted" in capsys.readouterr().out


@pytest.mark.usefixtures("known_machine")
def test_ctrl_c_before_the_first_sample_leaves_no_report(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "lrn_deploy.workflows.profile.profile.time_preparation", lambda _preprocessing: None
    )
    monkeypatch.setattr(sampling, "_turn", stop)
    assert run(["profile", str(bundle), "--device", "cpu", "--max-batch", "1"]) == 130
    assert not (bundle / REPORT).exists()


def agree(row: Row, other: Row) -> bool:
    """Whether the median of one lies among the middle nine tenths of the other's runs.

    A median stands near the fastest runs, since nothing makes a run faster than it can be. So the
    lower of two may well lie below the other's 5th percentile; but where both lie outside of the
    other's, the reports contradict each other.
    """
    assert row.summary is not None
    assert other.summary is not None
    fast, slow = sorted((row.summary, other.summary), key=lambda told: told.p50)
    return fast.p50 >= slow.p5 or slow.p50 <= fast.p95


@pytest.mark.usefixtures("known_machine", "steady_machine")
def test_twice_the_same_within_the_spread_it_reports(bundle: Path) -> None:
    options = ProfileOptions(
        batches=(1,), effort=Effort(30, 1.5), devices=("cpu",), first_run=False, layers=False
    )
    first, again = (profile(Bundle.open(bundle), options).report for _ in range(2))
    (row,), (other,) = ([row for row in each.rows if row.samples] for each in (first, again))
    assert row.samples != other.samples
    assert agree(row, other)
    assert row.summary is not None
    assert row.summary.p50 == pytest.approx(1e-3, rel=0.01)
    beyond = 1.01 * row.summary.p95 / row.summary.p5
    times = [[beyond * value for value in taken] for taken in row.samples]
    assert not agree(row, row.model_copy(update={"summary": summarize(times)}))


@pytest.mark.usefixtures("known_machine")
@pytest.mark.parametrize(("factor", "answer"), [(1.0, "within"), (1.1, "regression")])
def test_a_slowdown_is_caught_in_turns_and_none_is_not(
    bundle: Path, digits: Path, steady_machine: SteadyMachine, factor: float, answer: str
) -> None:
    options = ProfileOptions(
        batches=(1,),
        effort=Effort(25, 6.0),
        devices=("cpu",),
        threads=1,
        first_run=False,
        layers=False,
        against=digits,
    )
    steady_machine.factor = factor
    (found,) = profile(Bundle.open(bundle), options).report.comparisons
    assert found.ratio is not None
    assert found.ratio.low <= factor <= found.ratio.high
    assert found.answer == answer


@pytest.mark.usefixtures("known_machine")
def test_a_regression_ends_with_one(
    bundle: Path,
    digits: Path,
    steady_machine: SteadyMachine,
    capsys: pytest.CaptureFixture[str],
) -> None:
    steady_machine.factor = 1.2
    words = ["profile", str(bundle), "--device", "cpu", "--max-batch", "1", "--repeats", "9"]
    assert run([*words, "--no-layers", "--compare", str(digits)]) == 1
    assert "REGRESSION: slower by more than 5 %" in capsys.readouterr().out


def scaled(report: LatencyReport, factor: float, machine: float = 1.0) -> LatencyReport:
    """The report of ``factor`` times slower artifacts on a ``machine`` times slower machine."""
    rng = np.random.default_rng(0)
    taken = {
        what: tuple((float(value),) for value in 0.01 * rng.lognormal(0, 0.01, 30))
        for what in ("row", "calibration")
    }
    rows = tuple(
        row.model_copy(
            update={
                "samples": tuple((factor * machine * value,) for (value,) in taken["row"]),
                "noise": None if row.noise is None else type(row.noise)(False, 0.01, 0.0),
            }
        )
        for row in report.rows
        if row.samples
    )
    samples = tuple((machine * value,) for (value,) in taken["calibration"])
    calibration = report.calibration.model_copy(
        update={"samples": dict.fromkeys(report.calibration.samples, samples)}
    )
    return report.model_copy(update={"rows": rows, "calibration": calibration})


@pytest.mark.parametrize(
    ("factor", "machine", "answer"),
    [
        (1.0, 1.0, "within"),
        (1.10, 1.0, "regression"),
        (1.0, 1.15, "within"),  # the machine is slower, the artifact is not
        (1.05, 1.0, "inconclusive"),
        (1.0, 1.5, "inconclusive"),  # too much another machine
    ],
)
def test_an_earlier_profile_is_normalised_by_its_calibration(
    report: LatencyReport, factor: float, machine: float, answer: str
) -> None:
    found = compare_reports(scaled(report, factor, machine), scaled(report, 1.0), 0.05)
    assert [item.batch for item in found] == [1, 2]
    assert {item.answer for item in found} == {answer}


def test_another_machine_or_noise_is_inconclusive(report: LatencyReport) -> None:
    now, before = scaled(report, 1.2), scaled(report, 1.0)
    other = before.model_copy(update={"machine": {**before.machine, "processor": "Z80"}})
    (first, _) = compare_reports(now, other, 0.05)
    assert (first.answer, first.reason) == ("inconclusive", "the processor is another: Z80 then")
    loud = [row.model_copy(update={"noise": None}) for row in before.rows]
    (first, _) = compare_reports(now, before.model_copy(update={"rows": tuple(loud)}), 0.05)
    assert first.reason.startswith("the machine was too noisy then")


def test_what_to_compare_with(digits: Path, tmp_path: Path, report: LatencyReport) -> None:
    opened = Bundle.open(digits)
    file = tmp_path / "latency.json"
    file.write_text(report.model_dump_json())
    assert read_baseline(opened, str(file)) == report
    assert read_baseline(opened, "model") == "model"
    assert isinstance(read_baseline(opened, str(digits)), Bundle)
    file.write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(BadInputError, match=r"is no latency\.json"):
        read_baseline(opened, str(file))
    with pytest.raises(BadInputError, match="nothing to compare with at 'nowhere'"):
        read_baseline(opened, "nowhere")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-batch", "0"], "largest batch size must be 1 or more, got 0"),
        (["--repeats", "0"], "number of rounds must be 1 or more, got 0"),
        (["--seconds", "nan"], "seconds must be above 0, got nan"),
        (["--threads", "-1"], "threads must be 0 or more, got -1"),
        (["--max-regression", "-3"], "must be 0 or more, got -3%"),
        (["--artifact", "nothing"], "no artifact named 'nothing'"),
        (["--device", "tpu"], "There is no device 'tpu'"),
    ],
)
def test_bad_options_are_refused(
    digits: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["profile", str(digits), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_artifact_is_not_measured(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (bundle / "model.onnx").open("ab") as file:
        file.write(b"x")
    assert run(["profile", str(bundle)]) == 4
    assert "is damaged" in capsys.readouterr().err
    assert not (bundle / REPORT).exists()


def test_batches_are_powers_of_two_and_the_largest() -> None:
    assert powers_up_to(8) == (1, 2, 4, 8)
    assert powers_up_to(12) == (1, 2, 4, 8, 12)
    assert powers_up_to(1) == (1,)
