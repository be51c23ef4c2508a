"""lrn-server's answers against those that the real tritonserver gave, as they were recorded."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from benchmarks.conformance import networks
from benchmarks.conformance.compare import ACROSS_MACHINES
from benchmarks.conformance.table import RECORD, Answers, ask_ours, compare, recorded, unused
from tests.support.exported import exported

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unmeasured", "forked_servers")]


@pytest.fixture(scope="module")
def theirs() -> Answers:
    return recorded()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    def export(words: list[str]) -> int:
        exported(words[1], Path(words[-1]))
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "run", export)
        made = networks.make_networks(tmp_path_factory.mktemp("conformance"))
    return ask_ours(made)


def different(theirs: Answers, ours: Answers) -> dict[str, object]:
    rows = compare(theirs, ours, ACROSS_MACHINES)
    return {row["name"]: row["differences"] for row in rows if row["verdict"] == "different"}


def test_every_answer_is_tritons_or_differs_as_listed(theirs: Answers, ours: Answers) -> None:
    assert len(theirs) > 130
    assert different(theirs, ours) == {}
    assert unused(compare(theirs, ours, ACROSS_MACHINES)) == []


def test_a_wrong_answer_is_found(theirs: Answers, ours: Answers) -> None:
    def caught(row: str, change: object) -> bool:
        wrong = copy.deepcopy(ours)
        change(wrong[row])  # type: ignore[operator]
        return list(different(theirs, wrong)) == [row]

    def value(answer: Answers) -> None:
        answer["outputs"][0]["values"][17] *= 1.001

    def swapped(answer: Answers) -> None:
        values = answer["outputs"][0]["values"]
        values[:10], values[10:20] = values[10:20], values[:10]

    assert caught("grpc: infer: digits, binary where the transport has a choice", value)
    assert caught("http: infer: picture, uint8, all outputs", swapped)
    assert caught("http: infer: one output of two", lambda one: one.update(id="another"))
    assert caught("http: refused: malformed JSON", lambda one: one.update(refused="200"))
    assert caught("http: refused: another shape", lambda one: one["says"].update(shape=False))
    assert caught("grpc: queue: more requests than it holds", lambda one: one.update(answered=4))
    assert caught("http: infer: classification of digits", lambda one: one["outputs"].pop())
    row = "grpc: statistics: their members, and counts after three requests of four rows"
    assert caught(row, lambda one: one["grown"].update(inference_count=3))


def test_a_call_without_an_answer_is_found(theirs: Answers, ours: Answers) -> None:
    row = "http: infer: a raw request"
    fewer = {name: answer for name, answer in ours.items() if name != row}
    assert list(different(theirs, fewer)) == [row]


def test_the_reason_for_one_row_does_not_excuse_another(theirs: Answers, ours: Answers) -> None:
    row = "http: refused: an unknown model"
    wrong = copy.deepcopy(ours)
    wrong[row]["refused"] = "400"
    assert list(different(theirs, wrong)) == [row]


def test_the_record_is_of_a_run_that_passed() -> None:
    summary = json.loads(RECORD.read_text())["summary"]
    assert summary["different"] == summary["perf_analyzer_failures"] == 0
    assert summary["equal"] > 100
