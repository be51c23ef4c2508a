"""The page in a real browser: as wide as the screen, in both themes, for assistive technology."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from lrn_deploy.bundle import Choice, LayerTensor, Manifest
from lrn_deploy.latency.schema import LatencyReport, LayerTime
from lrn_deploy.parity.schema import ParityReport
from lrn_deploy.report.page.page import render
from lrn_deploy.report.source import Source
from lrn_deploy.tuning.schema import TuneReport
from tests.support.browser import Tab, chromium
from tests.unit.report.conftest import DIGEST, check, row

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def opened(page: str) -> str:
    return page.replace("<details", "<details open")


def measured(browser: Browser, page: str, width: int, **options: Any) -> dict[str, Any]:
    """What a browser of this width measures; it must have nothing to complain of."""
    tab = Tab(browser, viewport={"width": width, "height": 800}, **options)
    tab.page.set_content(page)
    found: dict[str, Any] = tab.page.evaluate(MEASURE)
    tab.close()
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
def test_nothing_is_wider_than_the_screen(
    browser: Browser, pages: dict[str, str], width: int
) -> None:
    for name, page in pages.items():
        found = measured(browser, page, width)
        assert found["room"] == width
        assert found["width"] <= width, (name, found["outside"])
        assert (found["outside"], found["cut"]) == ([], []), name
        assert found["cards"] == (width == 360), "rows are cards on a phone"


def test_what_does_not_wrap_would_be_found(browser: Browser, pages: dict[str, str]) -> None:
    broken = pages["folded"].replace("<footer>", f"<pre>{'x' * 300}</pre><footer>")
    assert measured(browser, broken, 1000)["width"] > 1000


def test_the_page_is_dark_where_the_system_is(browser: Browser, pages: dict[str, str]) -> None:
    grounds = {
        theme: measured(browser, pages["folded"], 1000, color_scheme=theme)["ground"]
        for theme in ("light", "dark")
    }
    assert grounds == {"light": "rgb(247, 248, 248)", "dark": "rgb(20, 23, 26)"}


@pytest.mark.parametrize(("theme", "width"), [("light", 1000), ("dark", 360)])
def test_axe_finds_nothing(browser: Browser, pages: dict[str, str], theme: Any, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tab = Tab(browser, viewport={"width": width, "height": 800}, color_scheme=theme)
    tab.page.set_content(pages["unfolded"])
    violations = axe.Axe().run(tab.page).response["violations"]
    tab.close()
    assert [
        (one["id"], one["impact"], [node["html"][:90] for node in one["nodes"][:4]])
        for one in violations
    ] == []
