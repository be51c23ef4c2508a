"""The page: what it shows is what the reports say, and nothing in it is taken for markup."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from lrn_deploy.bundle import Manifest
from lrn_deploy.latency.schema import LatencyReport
from lrn_deploy.parity.schema import ParityReport
from lrn_deploy.report.markup import EMPTY
from lrn_deploy.report.page.answers import state
from lrn_deploy.report.page.layers import layer_times
from lrn_deploy.report.page.page import render
from lrn_deploy.report.source import Source
from lrn_deploy.tuning.schema import TuneReport
from tests.unit.report.conftest import DIGEST, HOSTILE


class Reader(HTMLParser):
    """Checks that elements are closed in order, and keeps what a test asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.values: list[float] = []
        self.text = ""
        self.headings: list[int] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "data":
            self.values.append(float(dict(attrs)["value"] or ""))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture
def source(
    manifest: Manifest, parity: ParityReport, latency: LatencyReport, tune: TuneReport
) -> Source:
    return Source(manifest, parity, latency, tune)


def test_the_page_and_each_chart_are_well_formed(source: Source) -> None:
    page = render(source)
    read(page)
    charts = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    for chart in charts:
        ElementTree.fromstring(chart)
    drawn = sum('class="chart"' in chart for chart in charts)
    assert drawn == 6  # probes, throughput, batch 1 and 8, layers, choice


def test_hostile_names_stay_text(source: Source) -> None:
    reader = read(render(source))
    assert not reader.tags & {"script", "img", "iframe", "link", "object"}
    assert reader.text.count(HOSTILE) > 15
    assert render(source).count("</style>") == 1


def test_nothing_is_loaded_from_anywhere(source: Source) -> None:
    page = render(source)
    loading = {"src", "srcset", "action", "xlink:href", "background", "style"}
    attributes = read(page).attributes
    assert not {name for name, _ in attributes} & loading
    assert not [name for name, _ in attributes if name.startswith("on")]
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in attributes
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_the_links_lead_to_the_sections_that_are_there(source: Source) -> None:
    for drawn in (source, Source(source.manifest, source.parity, None)):
        reader = read(render(drawn))
        targets = [value for name, value in reader.attributes if name == "href"]
        assert len(targets) >= 6
        assert {target.removeprefix("#") for target in targets} <= set(reader.ids)
        assert len(set(reader.ids)) == len(reader.ids)


def test_headings_go_down_by_one_level_at_a_time(source: Source) -> None:
    headings = read(render(source)).headings
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(lower <= upper + 1 for upper, lower in pairwise(headings))


def test_numbers_are_those_of_the_reports(
    source: Source, parity: ParityReport, latency: LatencyReport
) -> None:
    values = read(render(source)).values
    worst = parity.checks[1]
    assert worst.metrics is not None
    assert values.count(worst.metrics.relative_l2) == 1
    assert values.count(worst.metrics.error_over_signal or -1) == 1
    assert 1.25e-7 not in values  # not the worst of its kind
    assert {0.01234, 3.5} <= set(values)
    for row in latency.rows[:3]:
        assert row.summary is not None
        assert {row.summary.p50, row.summary.p90, row.summary.p99, row.summary.max} <= set(values)
        assert row.throughput in values
    assert 1.2345 in values
    assert {0.004, 0.0015, 0.375, 0.00025} <= set(values)  # run, LRN and its share, outside
    assert {1.375e-3, 0.0123, 2 / 0.0123, 0.5} <= set(values)  # candidates of tune
    assert 1_234_567 in values


def test_people_read_milliseconds_and_megabytes(source: Source) -> None:
    text = read(render(source)).text
    assert "4.51" in text  # ms, the median of 4.321 ms times 1.00 to 1.09
    assert "1.23" in text  # MB of 1 234 567 bytes
    assert DIGEST[:12] in text
    assert "too noisy" in text


def test_layers_of_the_same_error_share_a_line(manifest: Manifest, parity: ParityReport) -> None:
    same = parity.checks[2].model_copy(update={"subject": "norm9"})
    only = parity.model_copy(update={"checks": (parity.checks[2], same)})
    assert "norm1, norm9" in read(render(Source(manifest, only, None))).text


def test_what_was_not_run_is_folded_with_its_count_and_reason(source: Source) -> None:
    page = html.unescape(render(source))
    folds = re.findall(r'<details class="unrun"><summary>(.*?)</summary>', page)
    assert folds == [
        *("1 not timed", "1 not timed here", "1 without a first answer"),
        "1 not checked here",
    ]
    body = page.partition("1 not checked here</summary>")[2].partition("</details>")[0]
    assert body == f"<ul><li><b>{HOSTILE} on onnxruntime:cpu</b>: {HOSTILE}</li></ul>"


def test_the_choice_of_tune_is_told_with_what_was_out(source: Source) -> None:
    text = read(render(source)).text
    assert "The first is fastest." in text[text.index("Choice") :]
    assert "the shortest run of batch 2, relative L2 error at most 0.01" in text
    assert "3: error too large" in text  # by its number in the table
    assert "2 ms an item, error 0.0014" in text


def test_an_interrupted_tune_chose_nothing(source: Source, tune: TuneReport) -> None:
    empty = tune.model_copy(update={"complete": False, "chosen": None, "candidates": ()})
    text = read(render(Source(source.manifest, None, None, empty))).text
    assert "Tuning was interrupted, so nothing was chosen." in text


def test_a_choice_among_other_bytes_is_a_warning(source: Source, tune: TuneReport) -> None:
    assert not source.retuned
    other = tune.candidates[0].model_copy(update={"sha256": "ef" * 32})
    changed = tune.model_copy(update={"candidates": (other, *tune.candidates[1:])})
    stale = Source(source.manifest, source.parity, source.latency, changed)
    assert stale.retuned
    assert "chose is not what the bundle holds now" in read(render(stale)).text


def test_layers_of_a_deep_network_beyond_the_longest_are_one_bar(latency: LatencyReport) -> None:
    (layers,) = latency.layers
    one = layers.layers[0]
    many = [one.model_copy(update={"name": f"conv{at}", "seconds": 1e-6 * at}) for at in range(40)]
    deep = layers.model_copy(update={"layers": tuple(many)})
    text = read(str(layer_times(latency.model_copy(update={"layers": (deep,)})))).text
    assert "24 other layers: 0.276 ms" in text  # 0 to 23 microseconds
    assert "conv24" in text
    assert "conv23" not in text


def test_what_is_not_judged_is_not_counted_as_within_budget(
    manifest: Manifest, parity: ParityReport
) -> None:
    told = parity.checks[0].model_copy(update={"verdict": "unjudged", "budget": None})
    only = parity.model_copy(update={"checks": (parity.checks[0], told)})
    text = read(render(Source(manifest, only, None))).text
    assert "1 artifact in 1 check against PyTorch 2; every error within its budget." in text
    assert "1 comparison more told but not judged." in text


def test_a_failure_names_what_caught_it(manifest: Manifest, parity: ParityReport) -> None:
    names = tuple(f"check {at}" for at in range(7))
    failed = parity.model_copy(update={"verdict": "fail", "caught_by": names})
    source = Source(manifest, failed, None)
    assert state(source) == "fail"
    text = read(render(source)).text
    assert "FAIL" in text
    assert "Caught by: check 0, check 1, check 2, check 3, check 4 and 2 more." in text


def test_an_artifact_changed_since_is_no_full_pass(source: Source) -> None:
    changed = {
        name: item.model_copy(update={"sha256": "ef" * 32})
        for name, item in source.manifest.artifacts.items()
        if name == "model"
    }
    manifest = source.manifest.model_copy(update={"artifacts": changed})
    stale = Source(manifest, source.parity, source.latency)
    assert state(source) == "pass"
    assert state(stale) == "limited"
    text = read(render(stale)).text
    assert "Made or changed since, and not checked: model." in text
    assert "The times of model" in text


def test_times_of_other_bytes_are_marked_and_are_not_the_fastest(
    manifest: Manifest, latency: LatencyReport
) -> None:
    compared = latency.rows[0].model_copy(update={"bundle": "other"})
    timed = latency.model_copy(update={"rows": (*latency.rows[:3], compared)})
    now = Source(manifest, None, timed)
    assert now.times == timed
    assert "Fastest: at batch 1 model on openvino:cpu" in read(render(now)).text
    changed = {"model": manifest.artifact("model").model_copy(update={"sha256": "ef" * 32})}
    stale = Source(manifest.model_copy(update={"artifacts": changed}), None, timed)
    assert stale.times is not None
    assert [row.artifact for row in stale.times.rows] == ["model (stale)"] * 3 + ["model"]
    assert stale.times.layers[0].artifact == stale.times.starts[0].artifact == "model (stale)"
    assert stale.times.comparisons[0].artifact == "model (stale)"
    text = read(render(stale)).text
    assert "model (stale) on openvino:cpu" in text
    assert "model (other bundle) on onnxruntime:cpu" in text, "which was not looked at"
    assert "Fastest" not in text


def test_a_missing_report_is_a_sentence_with_its_command(
    manifest: Manifest, parity: ParityReport, latency: LatencyReport
) -> None:
    without_times = read(render(Source(manifest, parity, None))).text
    assert "run 'lrn-deploy profile BUNDLE'" in without_times
    without_checks = read(render(Source(manifest, None, latency))).text
    assert "run 'lrn-deploy validate BUNDLE'" in without_checks
    assert "Not checked" in without_checks
    assert "PASS" not in without_checks


def test_an_interrupted_profile_without_rows_is_drawn(
    manifest: Manifest, latency: LatencyReport
) -> None:
    empty = latency.model_copy(update={"rows": (), "complete": False, "starts": ()})
    assert "interrupted" in read(render(Source(manifest, None, empty))).text


def test_a_network_without_lrn_is_drawn(manifest: Manifest, parity: ParityReport) -> None:
    bare = manifest.model_copy(update={"lrn_layers": ()})
    only = parity.model_copy(update={"checks": parity.checks[:1], "activity": {}, "drift": ()})
    text = read(render(Source(bare, only, None))).text
    assert "The network has none." in text
    assert "LRN alone" not in text
    assert "Drift by layer" not in text


def test_the_same_source_gives_the_same_page(source: Source) -> None:
    when = datetime(2026, 1, 2, tzinfo=UTC)
    assert render(source, when) == render(source, when)
    assert "2026-01-02T00:00:00+00:00" in render(source, when)
