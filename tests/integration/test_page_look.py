"""The page for everybody: by keyboard, read aloud, light and dark, on a phone, without motion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Tab, chromium, violations
from tests.support.digits_bundle import digits_bundle
from tests.support.image_bundles import colour_bundle, picture
from tests.support.servers import Running, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("unmeasured")]


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


@pytest.fixture(scope="module")
def desk(browser: Browser) -> Iterator[Tab]:
    tab = Tab(browser)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def phone(browser: Browser) -> Iterator[Tab]:
    tab = Tab(browser, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    yield tab
    tab.close()


def visit(tab: Tab, server: Running) -> Page:
    """The page anew, with nothing done to it."""
    tab.page.goto(f"http://{server.http}/")
    tab.page.locator("#cards article").first.wait_for()
    return tab.page


@pytest.fixture
def page(desk: Tab, server: Running) -> Iterator[Page]:
    yield visit(desk, server)
    assert desk.faults == []


@pytest.fixture(scope="module")
def full(desk: Tab, server: Running, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page with all that there is to a model; tests look at it."""
    desk.page.emulate_media(color_scheme="light")
    page = visit(desk, server)
    fill(page, request.param)
    yield page
    page.emulate_media(color_scheme="null", reduced_motion="null")
    assert desk.faults == []


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


OF_COLOUR = ("color-contrast", "link-in-text-block")
"""The rules of axe that another theme can break."""


def redness(page: Page) -> int:
    """Of the page's ground, from 0 to 255."""
    ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    return int(page.evaluate(ground)[0])


COLOURS = pytest.mark.parametrize("full", ["colours"], indirect=True)
DIGITS = pytest.mark.parametrize("full", ["digits"], indirect=True)


@pytest.mark.parametrize("full", ["colours", "digits"], indirect=True)
def test_axe_finds_nothing_serious_in_light_and_dark(full: Page) -> None:
    for theme, rules in (("light", ()), ("dark", OF_COLOUR)):
        full.emulate_media(color_scheme=theme, reduced_motion="reduce")  # at once
        assert (redness(full) < 60) == (theme == "dark")  # as the system is
        assert [
            (one["id"], one["impact"], [node["target"] for node in one["nodes"]])
            for one in violations(full, *rules)
            if one["impact"] in ("serious", "critical")
        ] == []


@COLOURS
def test_axe_would_find_a_fault(full: Page) -> None:
    full.evaluate("document.querySelector('main').append(document.createElement('button'))")
    try:
        assert "button-name" in [one["id"] for one in violations(full, "button-name")]
    finally:
        full.evaluate("document.querySelector('main > button:last-child').remove()")


@COLOURS
def test_axe_would_find_what_is_hard_to_read_in_the_dark(full: Page) -> None:
    full.emulate_media(color_scheme="dark")
    full.evaluate("document.querySelector('h1').style.color = '#222'")
    try:
        assert "color-contrast" in [one["id"] for one in violations(full, *OF_COLOUR)]
    finally:
        full.evaluate("document.querySelector('h1').style.color = ''")


@COLOURS
def test_answers_and_troubles_are_announced(full: Page) -> None:
    assert full.locator("#said").get_attribute("role") == "status"
    assert "over 99.9 %" in full.locator("#said").inner_text()
    assert full.locator("#trouble").get_attribute("role") == "alert"
    assert full.locator("html").get_attribute("lang") == "en"
    assert full.locator("h1").count() == 1
    for chart in full.locator(".chart svg").all():
        assert chart.get_attribute("role") == "img"
        assert chart.get_attribute("aria-label")


@DIGITS
def test_nothing_moves_for_who_wants_it_still(full: Page) -> None:
    moving = """[...document.querySelectorAll('*')].filter((one) => {
      const style = getComputedStyle(one);
      return style.transitionDuration !== '0s' && style.transitionProperty !== 'none'
        || style.animationName !== 'none';
    }).map((one) => one.outerHTML.slice(0, 60))"""
    full.emulate_media(reduced_motion="no-preference")
    assert full.evaluate(moving) != []
    full.emulate_media(reduced_motion="reduce")
    assert full.evaluate(moving) == []


@pytest.mark.parametrize("model", ["colours", "digits"])
def test_a_phone_shows_all_of_it_without_sideways_scrolling(
    phone: Tab, server: Running, model: str
) -> None:
    page = visit(phone, server)
    fill(page, model)
    wide = """() => [...document.querySelectorAll('body *')].filter((one) =>
      !one.closest('.scroll, .unseen, svg') && one.getBoundingClientRect().right > 361
    ).map((one) => one.outerHTML.slice(0, 80))"""
    assert page.evaluate(wide) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = """() => [...document.querySelectorAll('button, select, input[type=checkbox]')]
      .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 20)
      .map((one) => one.outerHTML.slice(0, 80))"""
    assert page.evaluate(small) == []
    assert phone.faults == []


def test_all_of_it_works_by_keyboard(page: Page) -> None:
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


def test_a_digit_is_drawn_with_arrow_keys(page: Page) -> None:
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
