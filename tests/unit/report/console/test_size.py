"""The sizing report in terminals of three widths."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lrn_deploy.report.console.size import print_size
from lrn_deploy.sizing.options import SizeOptions
from lrn_deploy.sizing.schema import SizeReport
from lrn_deploy.sizing.size import size
from tests.support.image_bundles import colour_bundle
from tests.support.latency_reports import with_profile


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> SizeReport:
    bundle = colour_bundle(tmp_path_factory.mktemp("size") / "colours")
    times = {"model on onnxruntime:cpu": {1: [0.010], 2: [0.015], 8: [0.045]}}
    options = SizeOptions(rate=1500, slo_ms=80, price=(0.34,))
    return size(with_profile(bundle, times), options)


def printed(report: SizeReport, width: int) -> list[str]:
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=True, no_color=True, markup=False, soft_wrap=True
    )
    print_size(console, report)
    text = stream.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")
    return [line.rstrip() for line in text.splitlines()]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_it_says_all_of_it_at_every_width(report: SizeReport, width: int) -> None:
    lines = printed(report, width)
    text = " ".join(" ".join(lines).split())
    (plan,) = report.plans
    million = plan.machines_for_a_million
    for said in (
        "A processor, 4 cores",
        f"{plan.machines} machines, {plan.replicas} replicas, for 1,500 requests/s",
        f"--max-batch-size {plan.replica.max_batch_size}",
        f"{million:,} machines, {0.34 * million:,.4g} an hour",
        "bounded by the processor",
        "94 % of it as payload",
        "fp32 (planned)",
    ):
        assert said in text, said
    for sentence in report.assumptions:
        assert sentence in text
    assert max(map(len, lines)) <= width
