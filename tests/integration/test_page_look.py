"""The page for everybody: by keyboard, read aloud, light and dark, on a phone, without motion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import Tab, chromium
from tests.support.digits_bundle import digits_bundle
from tests.support.image_bundles import colour_bundle, picture
from tests.support.servers import Running, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("unmeasured")]

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("look")
    labels = ("an uncommonly long name of a class, as ImageNet has them", "green", "blue")
    colour_bundle(folder / "colours", weights="random", labels=labels)
    digits_bundle(folder / "digits")
    bundles = (folder / "colours", folder / "digits", f"{folder / 'digits'}:model")
    with serving(*bundles, "--max-batch-size", "65", "--threads", "1") as running:
        yield running


@pytest.fixture
def tab(browser: Browser, server: Running, request: pytest.FixtureRequest) -> Iterator[Tab]:
    tab = Tab(browser, **getattr(request, "param", {}))
    tab.page.goto(f"http://{server.http}/")
    tab.page.locator("#cards article").first.wait_for()
    yield tab
    tab.close()
    assert tab.faults == []


def fill(page: Page, model: str) -> None:
    """Show all that there is: answers side by side, the map, tables, a refusal."""
    if model == "digits":
        page.get_by_label("Model", exact=True).select_option("digits")
        page.get_by_label("Compare with").select_option("digits-model")
        page.get_by_role("button", name="Example of a 8").click()
        page.locator(".difference").wait_for()
    else:
        page.locator("#file").set_input_files(
            {"name": "p.png", "mimeType": "image/png", "buffer": picture("red")}
        )
        page.locator(".best").wait_for()
    page.get_by_role("button", name="Where does it look?").click()
    page.locator("#looked details").wait_for()
    for summary in page.locator("summary").all():
        summary.click()
    if model != "digits":
        page.locator("#file").set_input_files(
            {"name": "x.png", "mimeType": "image/png", "buffer": b"no image"}
        )
        page.locator(".trouble").wait_for()


@pytest.mark.parametrize("model", ["colours", "digits"])
@pytest.mark.parametrize(
    "tab",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}],
    indirect=True,
    ids=["light", "dark"],
)
def test_axe_finds_nothing_serious(tab: Tab, model: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    fill(tab.page, model)
    found = axe.Axe().run(tab.page).response["violations"]
    assert [
        (one["id"], one["impact"], [node["target"] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ] == []


def test_axe_would_find_a_fault(tab: Tab) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tab.page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert "button-name" in [one["id"] for one in axe.Axe().run(tab.page).response["violations"]]


@pytest.mark.parametrize(
    "tab", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True
)
def test_the_page_is_light_or_dark_as_the_system_is(tab: Tab, request: Any) -> None:
    dark = request.node.callspec.params["tab"]["color_scheme"] == "dark"
    red, *_ = tab.page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (red < 60) == dark


@pytest.mark.parametrize("tab", [PHONE], indirect=True)
@pytest.mark.parametrize("model", ["colours", "digits"])
def test_a_phone_shows_all_of_it_without_sideways_scrolling(tab: Tab, model: str) -> None:
    fill(tab.page, model)
    wide = """() => [...document.querySelectorAll('body *')].filter((one) =>
      !one.closest('.scroll, .unseen, svg') && one.getBoundingClientRect().right > 361
    ).map((one) => one.outerHTML.slice(0, 80))"""
    assert tab.page.evaluate(wide) == []
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360
    small = """() => [...document.querySelectorAll('button, select, input[type=checkbox]')]
      .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 20)
      .map((one) => one.outerHTML.slice(0, 80))"""
    assert tab.page.evaluate(small) == []


def test_all_of_it_works_by_keyboard(tab: Tab) -> None:
    page = tab.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    page.keyboard.press("Tab")
    page.keyboard.type("dig")  # in the list of models
    page.locator("#drawing").wait_for()
    seen: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        one = page.evaluate(
            """() => {
              const one = document.activeElement;
              const shown = [one, one.nextElementSibling].some((each) =>
                each && getComputedStyle(each).outlineStyle !== "none");
              const name = one.getAttribute("aria-label") ?? one.textContent.trim().slice(0, 40);
              return [name, shown];
            }"""
        )
        assert one[1], f"no visible focus on {one[0]}"
        if one[0] == "Example of a 7":
            break
        seen.append(one[0])
    assert any(name.startswith("Sheet to draw") for name in seen)
    page.keyboard.press("Enter")
    page.locator(".best").wait_for()
    assert page.locator(".best strong").inner_text() == "7"
    for _ in range(5):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "look":
            break
    page.keyboard.press("Space")
    page.locator("#looked details").wait_for()


def test_a_digit_is_drawn_with_arrow_keys(tab: Tab) -> None:
    page = tab.page
    page.get_by_label("Model", exact=True).select_option("digits")
    page.locator("canvas").wait_for()
    page.locator("canvas").focus()
    for _ in range(8):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    for _ in range(16):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    page.locator(".best").wait_for()
    assert page.locator(".best strong").inner_text() == "1"
    page.keyboard.press("Delete")
    page.get_by_text("Draw a digit, or take one.").wait_for()


def test_answers_and_troubles_are_announced(tab: Tab) -> None:
    page = tab.page
    fill(page, "colours")
    assert page.locator("#said").get_attribute("role") == "status"
    assert "over 99.9 %" in page.locator("#said").inner_text()
    assert page.locator("#trouble").get_attribute("role") == "alert"
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1
    for chart in page.locator(".chart svg").all():
        assert chart.get_attribute("role") == "img"
        assert chart.get_attribute("aria-label")


@pytest.mark.parametrize("tab", [{"reduced_motion": "reduce"}], indirect=True)
def test_nothing_moves_for_who_wants_it_still(tab: Tab) -> None:
    fill(tab.page, "digits")
    moving = """[...document.querySelectorAll('*')].filter((one) => {
      const style = getComputedStyle(one);
      return style.transitionDuration !== '0s' && style.transitionProperty !== 'none'
        || style.animationName !== 'none';
    }).map((one) => one.outerHTML.slice(0, 60))"""
    assert tab.page.evaluate(moving) == []
