"""The load report as text and as a page, drawn from reports that are made up."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lrn_deploy.cli import run
from lrn_deploy.latency.machine import Conditions
from lrn_deploy.load.schema import Generator, Knee, Latency, LoadReport, Samples, Step
from lrn_deploy.report.load.charts import MOST_DOTS, over_time, thinned
from lrn_deploy.report.load.console import print_load
from lrn_deploy.report.load.page import render

CALM = Generator(busy=0.1, late_p50=0.0001, late_p99=0.0002, late_max=0.001, held=0)
SLOW = CALM.model_copy(update={"late_p99": 0.02, "reason": "a hundredth left 20 ms late"})
LATENCY = Latency(count=500, p50=0.010, p90=0.020, p99=0.030, p999=None, max=0.5, mean=0.012)


def step(**further: Any) -> Step:
    samples = Samples(
        due=(0.0, 1.0, 2.0, 3.0),
        late=(0.0,) * 4,
        latency=(0.01, 0.02, None, 0.5),
        outcome=(0, 0, 1, 0),
        outcomes=("answered", "connection lost"),
    )
    told: dict[str, Any] = {
        "rate": 50.0,
        "seconds": 10.0,
        "sent": 501,
        "answered": 500,
        "errors": {"connection lost": 1},
        "offered": 50.1,
        "throughput": 50.0,
        "backlog": 0,
        "latency": LATENCY,
        "generator": CALM,
        "samples": samples,
    }
    return Step(**told | further)


def report(*steps: Step, **further: Any) -> LoadReport:
    told: dict[str, Any] = {
        "created": "2026-11-28T00:00:00+00:00",
        "model": "<digits>",
        "machine": {"processor": "P", "cores": "2", "system": "Linux"},
        "versions": {"python": "3.11"},
        "seconds": 11.0,
        "complete": True,
        "conditions": Conditions((), (), "unknown", None, None),
        "load_after": None,
        "foreign_cores": None,
        "url": "http://127.0.0.1:8000",
        "server": "lrn-server 1",
        "asked": "'x' [1, 2] FP32",
        "request_bytes": 1234,
        "mode": "open",
        "seconds_each": 10.0,
        "warmup": 1.0,
        "timeout": 10.0,
        "seed": 0,
        "steps": steps,
    }
    return LoadReport(**told | further)


def ramp(*, rate: float | None = 100.0) -> LoadReport:
    steps = (
        step(rate=None, concurrency=1, offered=None),
        step(rate=50.0, kept=True),
        step(rate=100.0, kept=True),
        step(rate=200.0, kept=False, reason="p99 was 900 ms, over 100 ms", generator=SLOW),
    )
    knee = Knee(rate=rate, beyond=200.0, reason="p99 was 900 ms, over 100 ms", limit=0.1)
    return report(*steps, mode="ramp", knee=knee, warnings=("Mind the gap.",))


def printed(shown: LoadReport) -> str:
    text = io.StringIO()
    print_load(Console(file=text, width=200, highlight=False, markup=False), shown)
    return re.sub(r"\s+", " ", text.getvalue())


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL))


def test_the_knee_is_told_first() -> None:
    wanted = "Knee: it keeps up with 100 requests/s (p99 limit 100 ms); at 200/s p99 was 900 ms"
    assert wanted in printed(ramp())
    page = render(ramp())
    assert "100 requests a second" in text_of(page)
    assert text_of(page).index("100 requests a second") < text_of(page).index("Figures")
    assert wanted in text_of(page)
    assert "Mind the gap." in text_of(page)
    assert "Latency over load" in page
    assert page.count('class="dot fail"') >= 3  # p50, p90 and p99 beyond the knee
    assert ">100</text>" in page  # the knee is marked on the axis


def test_no_knee_is_said() -> None:
    said = printed(ramp(rate=None))
    assert "The server kept up with no rate that was tried" in said
    assert "No knee was found" in text_of(render(ramp(rate=None)))
    assert ramp(rate=None).failed


def test_an_open_loop_says_from_when_it_counts() -> None:
    said = printed(report(step()))
    assert "Latencies count from when each request was due" in said
    assert "50/s: 1 requests failed: connection lost." in said
    page = text_of(render(report(step())))
    assert "50 answers a second" in page
    assert "One in ten took more than 20 ms, one in a hundred more than 30 ms" in page
    assert "at the top the 1 that failed" in page


def test_a_closed_loop_says_what_it_hides() -> None:
    fixed = LATENCY.model_copy(update={"p90": 0.7, "p99": 0.9})
    shown = report(step(rate=None, concurrency=4, corrected=fixed), mode="closed")
    assert "with those that it did not send p90 is 700 ms and p99 900 ms" in printed(shown)
    page = text_of(render(shown))
    assert "with what it did not send" in page
    assert "4 at a time" in page


def test_a_generator_in_the_way_is_said() -> None:
    page = text_of(render(report(step(generator=SLOW))))
    assert "Was the generator in the way? Yes, at times" in page
    assert "No" in text_of(render(report(step()))).split("Was the generator in the way? ")[1][:3]


def test_nothing_answered_is_said() -> None:
    shown = report(step(answered=0, latency=None), stopped="The server took no more connections.")
    assert shown.failed
    page = text_of(render(shown))
    assert "Nothing was answered" in page
    assert "Ended early: The server took no more connections." in page


def test_a_name_cannot_write_into_the_page() -> None:
    page = render(report(step()))
    assert "<digits>" not in page
    assert "&lt;digits&gt; under load" in page
    assert "<script" not in page


@pytest.mark.parametrize(("slo", "failed"), [(None, False), (0.031, False), (0.029, True)])
def test_the_limit_is_that_of_p99(slo: float | None, failed: bool) -> None:
    shown = report(step(), slo=slo)
    assert shown.failed == failed
    if slo is not None:
        assert ("was missed" in printed(shown)) == failed


def test_dots_are_thinned_and_the_slowest_stay() -> None:
    dots = [(at / 1000, 1.0) for at in range(50_000)]
    dots[31_415] = (31.415, 99.0)
    kept = thinned(dots)
    assert len(kept) <= MOST_DOTS + 2
    assert (31.415, 99.0) in kept
    assert thinned(dots[:100]) == dots[:100]
    assert "warm-up" in over_time(step(), 1.0, "label")


def test_the_command_draws_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "load.json"
    file.write_text(ramp().model_dump_json())
    assert run(["report", str(file)]) == 0
    assert "100 requests a second" in (tmp_path / "load.html").read_text()
    assert run(["report", str(file), "-o", str(tmp_path / "other.html")]) == 0
    assert (tmp_path / "other.html").exists()
    file.write_text("{}")
    assert run(["report", str(file)]) == 4
    assert "is no report of a load" in capsys.readouterr().err
