"""The page in a real browser: as wide as the screen, in both themes, for assistive technology."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest

from lrn_deploy.bundle import Choice, LayerTensor, Manifest
from lrn_deploy.latency.schema import LatencyReport, LayerTime
from lrn_deploy.parity.schema import ParityReport
from lrn_deploy.report.page.page import render
from lrn_deploy.report.source import Source
from lrn_deploy.tuning.schema import TuneReport
from tests.support.browser import Tab, chromium, violations
from tests.unit.report.conftest import DIGEST, check, row

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("unmeasured")]

WIDTHS = (1000, 360)
ENGINE = "rtx-int8-sm75-sm80-sm86-sm89-sm90-sm120"
"""An artifact's name as long as they get."""
LAYERS = [f"inception_3a.branch{at % 4}.conv{at}" for at in range(24)]

MEASURE = """() => {
  const root = document.documentElement, room = root.clientWidth;
  const name = e => `${e.localName}.${e.getAttribute("class") ?? ""} ${e.textContent.slice(0, 40)}`;
  const all = [...document.body.querySelectorAll("*")];
  return {
    room, width: root.scrollWidth,
    outside: all.filter(e => e.getBoundingClientRect().right > room + 0.5 && !e.closest("thead"))
      .map(name),
    cut: all.filter(e => e.matches(".table, .answer, figure, li, td, th, details")
      && !e.closest("thead") && e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1).map(name),
    cards: getComputedStyle(document.querySelector("tbody tr")).display === "flex",
    ground: getComputedStyle(document.body).backgroundColor,
  };
}"""


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with chromium() as browser:
        tab = Tab(browser)
        yield tab
        tab.close()


def opened(page: str) -> str:
    return page.replace("<details", "<details open")


def show(tab: Tab, page: str, width: int, theme: Literal["light", "dark"]) -> None:
    """The page in a window of this width, on a system with this theme."""
    tab.complaints.clear()
    tab.page.set_viewport_size({"width": width, "height": 800})
    tab.page.emulate_media(color_scheme=theme)
    tab.page.set_content(page)


def measured(
    tab: Tab, page: str, width: int, theme: Literal["light", "dark"] = "light"
) -> dict[str, Any]:
    """What a browser of this width measures; it must have nothing to complain of."""
    show(tab, page, width, theme)
    found: dict[str, Any] = tab.page.evaluate(MEASURE)
    assert tab.complaints == []
    return found


@pytest.fixture
def pages(
    manifest: Manifest, parity: ParityReport, latency: LatencyReport, tune: TuneReport
) -> dict[str, str]:
    """Names that cannot be broken; and as much as a page has of a deep network and an engine."""
    full = render(Source(manifest, parity, latency, tune))
    deep = render(deep_source(manifest, parity, latency))
    return {"folded": full, "unfolded": opened(full), "deep": opened(deep)}


def deep_source(manifest: Manifest, parity: ParityReport, latency: LatencyReport) -> Source:
    engine = manifest.artifact("model").model_copy(update={"file": "engine"})
    run = Choice(artifact=ENGINE, sha256=DIGEST, backend="tensorrt-rtx:cuda")
    layers = tuple(LayerTensor(module=name, tensor=f"{name}_") for name in LAYERS)
    tuned = {
        "layers": layers,
        "choices": (run,),
        "artifacts": manifest.artifacts | {ENGINE: engine},
    }
    times = [
        LayerTime(name=name, kind="Conv", seconds=1e-6 * at, share=at / 400)
        for at, name in enumerate(LAYERS)
    ]
    place = {"artifact": ENGINE, "backend": run.backend}
    (traced,) = latency.layers
    checks = [check("layer", 1e-8, subject=name, inputs="random", **place) for name in LAYERS]
    rows = [row(run.backend, batch, 0.123 * batch, artifact=ENGINE) for batch in (1, 2, 4, 8)]
    timed = traced.model_copy(update={**place, "layers": tuple(times)})
    return Source(
        manifest.model_copy(update=tuned),
        parity.model_copy(update={"checks": (*parity.checks, *checks)}),
        latency.model_copy(update={"rows": tuple(rows), "layers": (timed,)}),
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(tab: Tab, pages: dict[str, str], width: int) -> None:
    for name, page in pages.items():
        found = measured(tab, page, width)
        assert found["room"] == width
        assert found["width"] <= width, (name, found["outside"])
        assert (found["outside"], found["cut"]) == ([], []), name
        assert found["cards"] == (width == 360), "rows are cards on a phone"


def test_what_does_not_wrap_would_be_found(tab: Tab, pages: dict[str, str]) -> None:
    broken = pages["folded"].replace("<footer>", f"<pre>{'x' * 300}</pre><footer>")
    assert measured(tab, broken, 1000)["width"] > 1000


def test_the_page_is_dark_where_the_system_is(tab: Tab, pages: dict[str, str]) -> None:
    themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    grounds = {theme: measured(tab, pages["folded"], 1000, theme)["ground"] for theme in themes}
    assert grounds == {"light": "rgb(247, 248, 248)", "dark": "rgb(20, 23, 26)"}


@pytest.mark.parametrize(("theme", "width"), [("light", 1000), ("dark", 360)])
def test_axe_finds_nothing(tab: Tab, pages: dict[str, str], theme: Any, width: int) -> None:
    show(tab, pages["unfolded"], width, theme)
    assert [
        (one["id"], one["impact"], [node["html"][:90] for node in one["nodes"][:4]])
        for one in violations(tab.page)
    ] == []
