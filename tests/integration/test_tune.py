"""Tuning the trained digits network: what is chosen is accurate, fast, recorded and explained."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.bundle import Artifact, Bundle
from lrn_deploy.cli import cli
from lrn_deploy.errors import BadInputError
from lrn_deploy.latency.effort import Effort
from lrn_deploy.latency.sampling import interleave
from lrn_deploy.models import digits_data
from lrn_deploy.parity.budgets import Budgets
from lrn_deploy.parity.schema import ParityReport
from lrn_deploy.tuning.schema import TuneReport
from lrn_deploy.workflows.choice import pick
from lrn_deploy.workflows.tune import contenders as tune_contenders
from lrn_deploy.workflows.tune import race as tune_race
from lrn_deploy.workflows.tune import variants as tune_variants
from lrn_deploy.workflows.tune.evaluation import evaluation_inputs
from lrn_deploy.workflows.tune.field import HEAT
from lrn_deploy.workflows.tune.options import TuneOptions
from lrn_deploy.workflows.tune.tune import REPORT, tune
from lrn_deploy.workflows.validate import validate as validation
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import REPORT as PARITY
from lrn_deploy.workflows.validate.validate import validate
from tests.support.exported import exported
from tests.support.quantizer import leave_nncf_untraced
from tests.support.validated import leave_openvino_out

pytestmark = pytest.mark.usefixtures("brisk")

QUICK = Effort(rounds=5, seconds=0.2)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    leave_nncf_untraced()
    path = tmp_path_factory.mktemp("tune") / "digits"
    return exported("digits", path).path


@pytest.fixture
def digits(plain: Path, tmp_path: Path) -> Bundle:
    return Bundle.open(Path(shutil.copytree(plain, tmp_path / "digits")))


@pytest.fixture
def hundred_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many to judge on: the other 499 tell the same."""
    train, test = digits_data.load_split()
    few = replace(test, images=test.images[:100])
    monkeypatch.setattr(digits_data, "load_split", lambda: (train, few))


@pytest.fixture
def one_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime alone, for what does not lie in who is the fastest."""
    leave_openvino_out(monkeypatch, tune_contenders, tune_variants, validation)


def options(**changes: Any) -> TuneOptions:
    plain: dict[str, Any] = {"threads": (1,), "devices": ("cpu",), "max_batch": 2, "effort": QUICK}
    return TuneOptions(**(plain | changes))


def faulty(bundle: Bundle) -> Bundle:
    """Adds ``wrong``: the lowered graph's fp32 twin whose last bias is off by a hair."""
    model = onnx.load_model_from_string(bundle.read(bundle.manifest.artifact("model")))
    bias = next(item for item in model.graph.initializer if list(item.dims) == [10])
    values = onnx.numpy_helper.to_array(bias).copy()
    values += np.float32(1e-3)
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    record = bundle.add_file("variants/wrong.onnx", model.SerializeToString())
    artifact = Artifact(**record.model_dump(), format="onnx", source="model", target="cpu")
    return bundle.add_artifact("wrong", artifact)


def test_all_digits_that_were_held_out_are_judged_on(plain: Path) -> None:
    assert evaluation_inputs(Bundle.open(plain).manifest).count == 599


@pytest.mark.slow
@pytest.mark.usefixtures("hundred_digits")
def test_reduced_precision_is_tried_judged_and_the_choice_recorded(digits: Bundle) -> None:
    report = tune(digits, options(min_agreement=0.99, thorough=True)).report
    choice = report.choice
    assert choice is not None
    assert choice.within
    assert choice.raced
    assert choice.metrics is not None
    assert choice.metrics.top1_agreement is not None
    assert choice.metrics.top1_agreement >= 0.99
    assert choice.metrics.inputs == 100
    tried = {item.artifact for item in report.candidates if item.metrics}
    wanted = {"model", "cpu-fp32", "cpu-int8", "openvino-int8", "cpu-int8-nncf"}
    if "with bf16 units" in OpenVinoBackend().probe().detail:
        wanted.add("openvino-bf16")
    assert wanted <= tried
    raced = [item for item in report.candidates if item.raced and item.within]
    at_one = {item.name: item.at(1) for item in raced}
    times = {name: point.seconds for name, point in at_one.items() if point}
    assert times[choice.name] <= 1.02 * min(times.values())

    after = Bundle.open(digits.path)
    assert after.manifest.default == choice.artifact
    first = after.manifest.choices[0]
    assert (first.artifact, first.backend) == (choice.artifact, choice.backend)
    assert pick(after).reason == "tune chose it"
    stored = TuneReport.model_validate_json((digits.path / REPORT).read_bytes())
    assert stored == report
    assert choice.name in report.explanation


@pytest.mark.slow
@pytest.mark.usefixtures("hundred_digits")
def test_what_cannot_win_is_not_made_and_the_report_says_why(digits: Bundle) -> None:
    told: list[str] = []
    report = tune(
        digits, options(min_agreement=0.9, max_batch=1), lambda what, *_: told.append(what)
    ).report
    assert report.choice is not None
    made = Bundle.open(digits.path).manifest
    reasons = {item.artifact: item.reason for item in report.candidates if not item.metrics}
    # The own int8 agrees on more than 90 % of the digits, so NNCF's has nothing to add.
    assert reasons["cpu-int8-nncf"].startswith("not made: ")
    assert not any("nncf" in name for name in made.artifacts)
    # Every artifact has a row with its errors, or with the reason why it was not tried.
    assert set(made.artifacts) <= {item.artifact for item in report.candidates}
    assert all(item.raced or item.reason for item in report.candidates)
    # Who stands in the ranking was raced, and validated.
    parity = ParityReport.model_validate_json((digits.path / PARITY).read_bytes())
    passed = {(check.artifact, check.backend) for check in parity.checks}
    assert {(choice.artifact, choice.backend) for choice in made.choices} <= passed
    # Nobody else was: no artifact on a runtime that it is not raced on.
    raced = {(item.artifact, item.backend) for item in report.candidates if item.raced}
    assert {(name, where) for name, where in passed if name} <= raced
    assert set(report.phases) == {"making", "judging", "validating", "racing"}
    assert sum(report.phases.values()) <= report.seconds
    assert all(" left" in what for what in told if what.startswith(("making", "judging")))


@pytest.mark.usefixtures("hundred_digits", "one_runtime")
def test_without_a_demand_the_numbers_stay_and_what_rounds_is_not_even_made(
    digits: Bundle,
) -> None:
    report = tune(digits, options()).report
    assert report.choice is not None
    assert report.choice.precision == "fp32"
    assert report.choice.metrics is not None
    assert report.choice.metrics.relative_l2 <= 2e-6
    reasons = {item.artifact: item.reason for item in report.candidates}
    assert "rounds by more than the 1e-05 asked for" in reasons["cpu-int8"]
    assert "cpu-int8" not in Bundle.open(digits.path).manifest.artifacts


@pytest.mark.usefixtures("hundred_digits", "one_runtime")
def test_a_faulty_variant_is_not_chosen_however_loose_the_demand(digits: Bundle) -> None:
    """Its error of 1e-4 is within the demand; validate fails it, since fp32 has no such errors."""
    bundle = faulty(digits)
    report = tune(bundle, options(max_error=9e-5, batch=1, max_batch=1, thorough=True)).report
    wrong = [item for item in report.candidates if item.artifact == "wrong"]
    assert wrong
    assert all(not item.within for item in wrong)
    assert all(item.artifact != "wrong" for item in Bundle.open(digits.path).manifest.choices)


@pytest.mark.usefixtures("hundred_digits", "one_runtime")
def test_what_was_validated_is_not_validated_again_unless_with_other_budgets(
    digits: Bundle,
) -> None:
    def when() -> str:
        report = ParityReport.model_validate_json((digits.path / PARITY).read_bytes())
        return report.created + str(report.seconds)

    wanted = options(max_batch=1)
    tune(digits, wanted)
    first = when()
    tune(Bundle.open(digits.path), wanted)
    assert when() == first

    loose = ValidateOptions(budgets=Budgets(max_error=1.0), devices=("cpu",))
    validate(Bundle.open(digits.path), loose)
    looser = when()
    tune(Bundle.open(digits.path), wanted)
    assert when() != looser


@pytest.mark.usefixtures("hundred_digits", "one_runtime")
def test_a_demand_that_nothing_meets_exits_1_and_changes_no_choice(digits: Bundle) -> None:
    arguments = ["tune", str(digits.path), "--threads", "1", "--device", "cpu", "--max-batch", "1"]
    impossible = ["--objective", "throughput", "--max-latency", "1e-5", "--seconds", "0.2"]
    result = CliRunner().invoke(cli, [*arguments, *impossible])
    assert result.exit_code == 1, result.output
    assert "No candidate is within a relative L2 error of at most 1e-05 and runs" in result.output
    after = Bundle.open(digits.path).manifest
    assert (after.default, after.choices) == ("model", ())


@pytest.mark.usefixtures("hundred_digits", "one_runtime")
def test_an_interrupt_keeps_what_was_measured_and_chooses_nothing(
    digits: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = interleave

    def interrupted(candidates: Any, effort: Any, **rest: Any) -> Any:
        run = real(candidates, effort, **rest)
        # The race, not the screening and the heat before it.
        run.complete = len(candidates) == 1 or effort == HEAT
        return run

    for module in (tune_contenders, tune_race):
        monkeypatch.setattr(module, "interleave", interrupted)
    report = tune(digits, options(max_batch=1)).report
    assert not report.complete
    assert report.choice is None
    assert any(item.points for item in report.candidates)
    after = Bundle.open(digits.path)
    assert after.manifest.choices == ()
    assert not TuneReport.model_validate_json((digits.path / REPORT).read_bytes()).complete


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--max-error", "-1"], "must be a positive number"),
        (["--min-agreement", "1.5"], "at most 1"),
        (["--max-latency", "5"], "goes with the objective throughput"),
        (["--batch", "0"], "must be 1 or more"),
        (["--device", "tpu"], "no device 'tpu'"),
    ],
)
def test_bad_demands_are_one_sentence(plain: Path, arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(cli, ["tune", str(plain), *arguments])
    assert isinstance(result.exception, BadInputError), result.output
    assert sentence in str(result.exception)
