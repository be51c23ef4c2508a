"""The runtime comparison runs from end to end on the digit network, and its result can be drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest

import benchmarks.runtimes.__main__ as program
from benchmarks.runtimes import candidates, choices, measure
from benchmarks.runtimes.candidates import (
    COMPILED,
    EAGER,
    NNCF,
    NNCF_BF16,
    NNCF_WHOLE,
    NNCF_WHOLE_BF16,
    OPENVINO_BF16,
)
from benchmarks.runtimes.draw import redraw
from benchmarks.runtimes.measure import QUICK, Plan
from lrn_deploy.latency.effort import Effort
from tests.support.exported import exported

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unmeasured", "brisk")]

ROUNDS = 9
SHORT = Effort(rounds=ROUNDS, seconds=0.1, min_rounds=ROUNDS)
SMOKE = Plan(
    QUICK.networks,
    {2: SHORT},
    # Compiling takes as long as all the rest, and quantizing another graph shows nothing new.
    without=frozenset({COMPILED, NNCF_WHOLE, NNCF_WHOLE_BF16}),
)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    file = tmp_path_factory.mktemp("runtimes") / "result.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "QUICK", SMOKE)
        patch.setattr(choices, "EFFORT", SHORT)
        for module in (program, candidates, choices, measure):  # a second one would spin beside
            patch.setattr(module, "THREADS", 1)
        patch.setattr(measure, "export_bundle", lambda given, path: exported(given.factory, path))
        assert program.main(["--quick", "--output", str(file)]) == 0
    loaded: dict[str, object] = json.loads(file.read_text())
    return loaded


def test_errors_are_those_of_the_precision(result: dict[str, object]) -> None:
    (network,) = result["networks"]  # type: ignore[misc]
    rows = {row["name"]: row for row in network["candidates"]}
    ran = {name: row["error"]["relative_l2"] for name, row in rows.items() if "error" in row}
    assert ran[EAGER] == 0.0
    for name in ran:
        if rows[name]["precision"] == "fp32":
            assert ran[name] <= 2e-6, name
    assert 1e-4 < ran[NNCF] < 0.1
    assert ran["model on ONNX Runtime"] <= 2e-6
    for name in {OPENVINO_BF16, NNCF_BF16} - set(ran):  # a processor without bf16 units
        assert "bf16" in rows[name]["reason"]


def test_every_sample_is_kept_and_medians_are_of_the_judged_rounds(
    result: dict[str, object],
) -> None:
    (network,) = result["networks"]  # type: ignore[misc]
    (batch,) = network["batches"]
    assert len(batch["foreign_cores"]) == ROUNDS
    assert len(batch["judging_rounds"]) >= 5
    for timing in batch["timings"]:
        assert len(timing["samples_s"]) == ROUNDS
        judged = [s for at in batch["judging_rounds"] for s in timing["samples_s"][at]]
        expected = 1e3 * np.median(judged) / batch["batch"]
        assert timing["ms_per_image"]["median"] == pytest.approx(expected, rel=1e-3)


def test_each_class_has_a_choice_of_ours_and_a_verdict_on_every_peer(
    result: dict[str, object],
) -> None:
    (network,) = result["networks"]  # type: ignore[misc]
    (batch,) = network["batches"]
    sides = {row["name"]: row["side"] for row in network["candidates"] if "error" in row}
    peers = {name for name, side in sides.items() if side == "peer"}
    assert [item["class"] for item in batch["classes"]] == ["fp32", "reduced"]
    for class_ in batch["classes"]:
        assert sides[class_["ours"]] == "ours"
        assert {row["peer"] for row in class_["verdicts"]} == peers
        assert class_["ours_within"]


def test_the_result_can_be_drawn(result: dict[str, object]) -> None:
    page = redraw("<!-- peers:begin --><!-- peers:end -->", result, "performance.svg")
    assert "| digits | 2 | 1e-05 |" in page


def test_quick_needs_to_be_told_where_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--quick"])
    assert "add --output" in capsys.readouterr().err
