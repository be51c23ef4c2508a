"""The three answers at the top: is it right, how fast is it, what is it run with?"""

from __future__ import annotations

import html
import re

import pytest

from lrn_deploy.bundle import Choice, Manifest
from lrn_deploy.latency.schema import LatencyReport
from lrn_deploy.parity.schema import ParityReport
from lrn_deploy.report.page.answers import answers, state
from lrn_deploy.report.page.page import render
from lrn_deploy.report.source import Source
from lrn_deploy.tuning.schema import TuneReport
from tests.unit.report.conftest import DIGEST

QUESTIONS = ["Is it right?", "How fast is it?", "What is it run with?"]


def cards(source: Source) -> dict[str, tuple[str, str]]:
    """By its question each answer and what it rests on."""
    found = {}
    for card in re.findall(r"<section.*?</section>", answers(source)):
        title, answer, said = re.findall(r"<h2>(.*?)</h2><strong.*?>(.*)</strong>(.*)</s", card)[0]
        plain = [html.unescape(re.sub("<.*?>", "", text)) for text in (title, answer, said)]
        found[plain[0]] = (plain[1], plain[2])
    return found


def test_three_questions_are_answered_before_anything_else(
    manifest: Manifest, parity: ParityReport, latency: LatencyReport, tune: TuneReport
) -> None:
    source = Source(manifest, parity, latency, tune)
    assert list(cards(source)) == QUESTIONS
    page = render(source)
    order = [page.index(f"<h2>{title}") for title in (*QUESTIONS, "The network", "Choice")]
    assert order == sorted(order)


def test_right_says_how_near_the_largest_error_comes_to_its_budget(
    manifest: Manifest, parity: ParityReport
) -> None:
    answer, said = cards(Source(manifest, parity, None))[QUESTIONS[0]]
    assert answer == "✓ PASS"
    assert "1 artifact in 7 checks against PyTorch 2; 1 limited" in said
    assert "The largest takes 25% of its budget: model's." in said  # 2.5e-7 of 1e-6


@pytest.mark.parametrize(
    ("verdict", "shown"), [("pass", "✓ PASS"), ("fail", "✗ FAIL"), (None, "○ Not checked")]
)
def test_the_word_has_a_sign_so_that_colour_is_not_all(
    manifest: Manifest, parity: ParityReport, verdict: str | None, shown: str
) -> None:
    report = parity.model_copy(update={"verdict": verdict}) if verdict else None
    assert cards(Source(manifest, report, None))[QUESTIONS[0]][0] == shown


def test_an_artifact_that_was_not_checked_is_a_pass_in_part(
    manifest: Manifest, parity: ParityReport
) -> None:
    source = Source(manifest, parity.model_copy(update={"artifacts": {"model": DIGEST}}), None)
    assert state(source) == "limited"
    assert cards(source)[QUESTIONS[0]][0] == "◐ PASS, in part"


def test_fast_is_what_the_bundle_is_run_with(manifest: Manifest, latency: LatencyReport) -> None:
    answer, said = cards(Source(manifest, None, latency))[QUESTIONS[1]]
    assert answer == "2.09 ms"  # the fastest: the median of 2 ms times 1.00 to 1.09
    assert "A run of batch 1 of model on openvino:cpu: the median of 60; nine of ten" in said
    run = Choice(artifact="model", sha256=DIGEST, backend="onnxruntime:cpu", threads=1)
    tuned = manifest.model_copy(update={"choices": (run,)})
    answer, said = cards(Source(tuned, None, latency))[QUESTIONS[1]]
    assert answer == "4.52 ms"
    assert "A run of batch 1 of what it is run with: the median of 60" in said
    assert "Fastest: at batch 1 model on openvino:cpu, median 2.09 ms (noisy)" in said
    assert "; at batch 8 model on onnxruntime:cpu, median 20.9 ms." in said


def test_without_a_profile_fast_is_what_tune_measured(manifest: Manifest, tune: TuneReport) -> None:
    answer, said = cards(Source(manifest, None, None, tune))[QUESTIONS[1]]
    assert answer == "4 ms"
    assert "A run of batch 2 of what 'tune' chose, as it measured it." in said
    lost = tune.model_copy(update={"chosen": None})
    assert cards(Source(manifest, None, None, lost))[QUESTIONS[1]][0] == "Not measured"


def test_times_of_other_bytes_are_no_answer(manifest: Manifest, latency: LatencyReport) -> None:
    rows = tuple(row.model_copy(update={"sha256": "ef" * 32}) for row in latency.rows)
    answer, said = cards(Source(manifest, None, latency.model_copy(update={"rows": rows})))[
        QUESTIONS[1]
    ]
    assert answer == "Not measured"
    assert "has changed since it was timed" in said


def test_run_with_is_the_first_choice_that_the_bundle_still_holds(
    manifest: Manifest, tune: TuneReport
) -> None:
    lost = Choice(artifact="model", sha256="ef" * 32, backend="onnxruntime:cpu", threads=1)
    kept = Choice(artifact="model", sha256=DIGEST, backend="openvino:cpu", threads=2)
    tuned = manifest.model_copy(update={"choices": (lost, kept)})
    answer, said = cards(Source(tuned, None, None, tune))[QUESTIONS[2]]
    assert answer == "model on openvino:cpu, 2 threads"
    assert "It computes in fp32." in said
    assert "Its error is 1.4e-03." in said
    assert "was asked for the shortest run of batch 2, relative L2 error at most 0.01," in said
    assert "and chose it of 3 that it timed." in said
    only = manifest.model_copy(update={"choices": (lost,)})
    answer, said = cards(Source(only, None, None, None))[QUESTIONS[2]]
    assert answer == "Not tuned"
    assert "lrn-deploy tune BUNDLE" in said


def test_run_with_names_the_default_of_a_bundle_that_was_not_tuned(
    manifest: Manifest, parity: ParityReport
) -> None:
    _, said = cards(Source(manifest, parity, None))[QUESTIONS[2]]
    assert "'model', or what computes the same in the form that suits the machine." in said
