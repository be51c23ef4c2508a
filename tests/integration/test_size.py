"""``lrn-deploy size`` as it is typed, of what ``profile`` really wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.harness import RESULTS
from lrn_deploy.cli import run
from lrn_deploy.errors import BAD_INPUT, DAMAGED, DONE
from lrn_deploy.latency.effort import Effort
from lrn_deploy.workflows.profile.options import ProfileOptions
from lrn_deploy.workflows.profile.profile import profile
from tests.support.digits_bundle import digits_bundle

RECORD = str(RESULTS / "gpu" / "h200-2" / "latency.json")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, brisk: None) -> str:  # noqa: ARG001 - patches
    path = tmp_path_factory.mktemp("size") / "digits"
    quick = ProfileOptions(
        batches=(1, 2),
        effort=Effort(rounds=5, seconds=0.1),
        threads=1,
        devices=("cpu",),
        first_run=False,
        layers=False,
    )
    profile(digits_bundle(path), quick)
    return str(path)


def test_a_profiled_bundle_is_sized(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["size", bundle, "--rate", "1e6", "--slo-ms", "50", "--price", "0.2"]) == DONE
    text = capsys.readouterr().out
    assert "requests/s" in text
    assert "- Requests come at random" in text
    assert run(["size", bundle, "--rate", "1e6", "--slo-ms", "50", "--json"]) == DONE
    told = capsys.readouterr()
    (plan,) = json.loads(told.out)["plans"]
    assert plan["machines"] == plan["machines_for_a_million"] > 10
    assert plan["runs"] == "model on onnxruntime:cpu"
    assert 0.0001 < plan["replica"]["least"] < plan["at_quantile"] <= 0.050
    assert "a million/s" in told.err


def test_this_machine_and_a_gpu_box_are_planned_side_by_side(
    bundle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = str(Path(bundle) / "reports" / "latency.json")
    asked = ("--rate", "5000", "--slo-ms", "30", "--profile", own, "--profile", RECORD, "--json")
    assert run(["size", bundle, *asked, "--price", "0.1", "--price", "4"]) == DONE
    here, gpu = json.loads(capsys.readouterr().out)["plans"]
    assert (here["device"], gpu["device"]) == ("cpu", "cuda")
    assert gpu["cost_per_hour"] == 4 * gpu["machines"]
    assert "NVIDIA H200" in gpu["machine"]


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (["--rate", "0", "--slo-ms", "50"], BAD_INPUT, "--rate must be above 0"),
        (["--rate", "10", "--slo-ms", "0.01"], BAD_INPUT, "a lone request takes"),
        (["--rate", "10"], BAD_INPUT, "Missing option '--slo-ms'"),
        (["--rate", "10", "--slo-ms", "5", "--profile", "no.json"], DAMAGED, "No such file"),
        (["--rate", "10", "--slo-ms", "5", "--run", "int8"], BAD_INPUT, "It has: model on"),
        (["--rate", "10", "--slo-ms", "5", "--max-batch-size", "64"], BAD_INPUT, "--max-batch 64"),
    ],
)
def test_bad_input_is_a_sentence_and_a_hint(
    bundle: str, asked: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["size", bundle, *asked]) == code
    assert said in capsys.readouterr().err


def test_a_bundle_without_a_profile_is_told_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits_bundle(tmp_path / "digits")
    assert run(["size", str(tmp_path / "digits"), "--rate", "10", "--slo-ms", "50"]) == BAD_INPUT
    assert "lrn-deploy profile" in capsys.readouterr().err
