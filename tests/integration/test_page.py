"""The page at / in a real browser: images in by every way, answers out, and what else it shows."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lrn_deploy.cli import run
from tests.support.browser import Tab, chromium
from tests.support.checked import check, write_checks
from tests.support.digits_bundle import digits_bundle
from tests.support.image_bundles import SURE, colour_bundle, encode, picture
from tests.support.quadrant_bundles import quadrant_bundle
from tests.support.servers import Running, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.browser

LIMIT = 300_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("page")
    colour_bundle(folder / "colours", weights="random")
    quadrant_bundle(folder / "quadrants")
    write_checks(digits_bundle(folder / "digits"), [check()])
    assert run(["report", str(folder / "digits")]) == 0
    bundles = [folder / "colours", folder / "quadrants", folder / "digits"]
    limits = ("--max-body-bytes", str(LIMIT), "--max-pixels", "1000000")
    with serving(*bundles, f"{folder / 'digits'}:model", *limits, "--model-control",
                 "--max-batch-size", "65", "--threads", "1") as running:  # fmt: skip
        yield running


Open = Callable[..., "Page"]
CLEAN = "document.querySelectorAll('#answer, #trouble').forEach((one) => one.replaceChildren())"


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Tab]:
    tab = Tab(browser, has_touch=True)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def open_page(tab: Tab, server: Running) -> Open:
    """Opens the page with these models chosen.

    A visit loads and draws all of it, so tests of the same models that follow each other share
    one: what was drawn, answered and refused is taken away.
    """
    shown: tuple[str, str] | None = None

    def open_page(model: str = "colours", other: str = "", *, anew: bool = False) -> Page:
        nonlocal shown
        if shown == (model, other) and not anew:
            if model == "digits":
                tab.page.get_by_role("button", name="Clear").click()
            tab.page.evaluate(CLEAN)
            return tab.page
        shown = None
        tab.page.goto(f"http://{server.http}/")
        card = tab.page.locator("#cards h3")
        card.first.wait_for()
        if model != "colours":
            tab.page.get_by_label("Model", exact=True).select_option(model)
        card.get_by_text(model, exact=True).wait_for()
        if other:
            tab.page.get_by_label("Compare with").select_option(other)
            card.get_by_text(other, exact=True).wait_for()
        shown = (model, other)
        return tab.page

    return open_page


@pytest.fixture(autouse=True)
def _without_faults(tab: Tab) -> Iterator[None]:
    tab.complaints.clear()
    yield
    assert tab.faults == []


def choose(page: Page, content: bytes, name: str = "photo.png") -> None:
    page.locator("#file").set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": content}
    )


def best(page: Page, index: int = 0) -> tuple[str, str]:
    """The likeliest class and its probability, once they are there."""
    line = page.locator(".best").nth(index)
    line.wait_for()
    return line.locator("strong").inner_text(), line.locator("span").inner_text()


def bring(page: Page, kind: str, content: bytes) -> None:
    """Drop or paste a file, as a browser tells it to a page."""
    page.evaluate(
        """([kind, text]) => {
          const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], "brought.png", { type: "image/png" }));
          const event = kind === "paste"
            ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
            : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
          document.body.dispatchEvent(event);
        }""",
        [kind, base64.b64encode(content).decode()],
    )


def bright(row: int, column: int) -> bytes:
    pixels = np.zeros((80, 80, 3), np.uint8)
    pixels[40 * row : 40 * row + 40, 40 * column : 40 * column + 40] = 255
    return encode(Image.fromarray(pixels), "PNG")


def test_an_image_that_is_chosen_is_answered_with_bars_and_times(
    open_page: Open, tab: Tab, server: Running
) -> None:
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    page = open_page(anew=True)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose an image").click()
    file = {"name": "photo.png", "mimeType": "image/png", "buffer": picture("red")}
    chooser.value.set_files(file)
    assert SURE > 0.9999
    assert best(page) == ("red", "over 99.9 %")
    bars = page.locator(".bars li")
    assert bars.locator(".label").all_inner_texts() == ["red", "green", "blue"]
    assert bars.locator(".value").all_inner_texts()[1:] == ["under 0.1 %"] * 2
    widths = [
        box["width"] for bar in bars.locator(".bar span").all() if (box := bar.bounding_box())
    ]
    assert widths[0] > 20 * widths[1]
    assert "red over 99.9 %; then green" in page.locator("#said").inner_text()
    assert page.get_by_text("photo.png").is_visible()
    assert "random" in page.locator(".result .note").inner_text()  # the weights know nothing
    parts = page.locator(".split dl div").all_inner_texts()
    names = [text.split("\n")[0] for text in parts]
    assert names == ["Decode", "Queue", "Compute", "Other", "Way"]
    assert all(re.fullmatch(r"[\d.]+ (ms|s)", text.split("\n")[1]) for text in parts), parts
    assert tab.complaints == []  # not even of a file that was not found
    own = (f"http://{server.http}/", f"blob:http://{server.http}/")
    assert len(asked) > 20
    assert [url for url in asked if not url.startswith(own)] == []


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_an_image_that_is_brought_is_answered(open_page: Open, kind: str) -> None:
    page = open_page()
    bring(page, kind, picture("blue"))
    assert best(page)[0] == "blue"


def test_a_photograph_is_answered(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Take a photograph").click()
    page.get_by_role("button", name="Take it").click()
    assert best(page)[0] in ("red", "green", "blue")
    assert page.locator(".picture img").evaluate("image => image.naturalWidth") > 100


def test_without_a_camera_the_page_says_so(open_page: Open) -> None:
    page = open_page()
    page.evaluate(
        """() => { navigator.mediaDevices.getUserMedia = () =>
             Promise.reject(new DOMException("none", "NotFoundError")); }"""
    )
    page.get_by_role("button", name="Take a photograph").click()
    page.get_by_text("There is no camera on this device. Choose a file instead.").wait_for()
    page.evaluate("delete navigator.mediaDevices.getUserMedia")


def test_text_that_is_pasted_is_no_image(open_page: Open) -> None:
    page = open_page()
    page.evaluate(
        """() => document.body.dispatchEvent(new ClipboardEvent("paste",
             { clipboardData: new DataTransfer(), bubbles: true }))"""
    )
    page.get_by_text("That was no file.").wait_for()


def test_what_is_no_image_is_told_in_words_with_the_request(open_page: Open) -> None:
    page = open_page()
    choose(page, picture("red"))
    best(page)
    choose(page, b"not an image at all", "notes.txt")
    trouble = page.locator(".trouble")
    trouble.wait_for()
    text = trouble.inner_text()
    assert "The server could not use this." in text
    assert "'notes.txt' is not an image, or not of a format that can be read" in text
    assert "The answer to the image before:" in page.locator("#answer").inner_text()
    assert re.search(r"Request [0-9a-f]{8}-\d+", text)
    assert "400" not in text
    assert best(page)[0] == "red"  # what was there stays
    choose(page, picture("lime"))
    page.get_by_text("green", exact=True).first.wait_for()
    assert trouble.count() == 0


def test_an_image_that_is_too_large_is_not_even_sent(open_page: Open) -> None:
    page = open_page()
    choose(page, b"\0" * (LIMIT + 1))
    page.get_by_text("this server takes up to 293 KiB").wait_for()
    choose(page, encode(Image.new("RGB", (2000, 1000)), "PNG"))
    page.get_by_text("has 2,000,000 pixels, more than 1,000,000").wait_for()


def test_the_charts_follow_what_the_server_does(open_page: Open) -> None:
    page = open_page("colours")
    choose(page, picture("red"))
    best(page)
    page.get_by_text("As a table").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('#live tbody tr td:first-of-type')]"
        ".some((cell) => parseFloat(cell.textContent) > 0)"
    )
    titles = page.locator(".chart h3").all_inner_texts()
    assert titles == ["Throughput", "Latency", "Batch size", "Queue", "Refusals"]
    label = page.locator(".chart svg").nth(0).get_attribute("aria-label")
    assert label is not None
    assert label.startswith("Throughput in the last two minutes: images a second now")
    assert all("M" in (one.get_attribute("d") or "") for one in page.locator(".line-0").all()[:1])


def test_numbers_as_people_read_them(open_page: Open) -> None:
    page = open_page()
    told = page.evaluate(
        """async () => {
          const words = await import("/page/words.js");
          const charts = await import("/page/charts.js");
          return {
            percent: [0, 0.0004, 0.1234, 0.9996, 1].map(words.percent),
            points: [0, 0.05, -0.123, 0.0004, -1e-9].map(words.points),
            milliseconds: [null, 0.004, 0.31, 7.25, 120.4, 1500].map(words.milliseconds),
            bytes: [12, 2048, 3.5 * 2 ** 20, 64 * 2 ** 20].map(words.bytes),
            ceiling: [0, 0.3, 1, 7, 12, 100, 101].map(charts.ceiling),
            path: charts.path([1, null, 2, 4], 4, 4),
          };
        }"""
    )
    assert told == {
        "percent": ["0 %", "under 0.1 %", "12.3 %", "over 99.9 %", "100 %"],
        "points": ["0", "+5.0", "\u221212.3", "+0.04", "under 0.001"],
        "milliseconds": ["\u2013", "0 ms", "0.31 ms", "7.3 ms", "120 ms", "1.5 s"],
        "bytes": ["12 bytes", "2 KiB", "3.5 MiB", "64 MiB"],
        "ceiling": [1, 0.5, 1, 10, 20, 100, 200],
        # Four seconds of 75 units each, 72 high; the second one is missing.
        "path": "M75.0 54.0h0M225.0 36.0h0L300.0 0.0",
    }


def test_a_model_that_goes_is_told_and_comes_back(open_page: Open, server: Running) -> None:
    page = open_page()

    def unload(route: Route) -> None:  # when the page has asked: a second later it knows
        assert server.call("POST", "/v2/repository/models/colours/unload").status == 200
        route.continue_()

    page.route("**/v1/classify*", unload, times=1)
    try:
        choose(page, picture("red"))
        page.get_by_text("Model 'colours' is not ready: unloaded").wait_for()
        assert "Not just now." in page.locator(".trouble").inner_text()
        page.get_by_text("colours is not there just now: unloaded.").wait_for()
    finally:
        assert server.call("POST", "/v2/repository/models/colours/load").status == 200
    page.locator("#model option[value=colours]").wait_for(state="attached")
    page.get_by_label("Model", exact=True).select_option("colours")
    assert best(page)[0] == "red"


def test_a_digit_is_drawn_by_mouse(open_page: Open) -> None:
    page = open_page("digits")
    box = page.locator("canvas").bounding_box()
    assert box is not None
    side = box["width"]
    page.mouse.move(box["x"] + 0.5 * side, box["y"] + 0.15 * side)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * side, box["y"] + 0.85 * side, steps=8)
    page.mouse.up()
    assert best(page)[0] == "1"
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("Draw a digit, or take one.").wait_for()
    assert page.locator(".best").count() == 0


def test_a_digit_is_drawn_by_finger(open_page: Open) -> None:
    page = open_page("digits")
    page.locator("canvas").evaluate(
        """(canvas) => {
          canvas.setPointerCapture = () => {};
          const { left, top, width } = canvas.getBoundingClientRect();
          const send = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind, {
            pointerId: 7, pointerType: "touch", isPrimary: true, button: 0, bubbles: true,
            clientX: left + x * width, clientY: top + y * width }));
          send("pointerdown", 0.5, 0.15);
          for (let y = 0.2; y < 0.85; y += 0.1) send("pointermove", 0.5, y);
          send("pointerup", 0.5, 0.85);
        }"""
    )
    assert best(page)[0] == "1"
    assert page.locator("canvas").evaluate("one => getComputedStyle(one).touchAction") == "none"


def test_each_example_digit_is_read(open_page: Open) -> None:
    page = open_page("digits")
    for digit in range(10):
        page.evaluate(f"document.querySelector('[aria-label=\"Example of a {digit}\"]').click()")
        page.locator(".best strong").get_by_text(str(digit), exact=True).wait_for()


def test_the_card_says_what_the_model_is(open_page: Open) -> None:
    page = open_page("digits")
    card = page.locator("#cards article")
    text = card.inner_text()
    assert "Passed" in text
    assert "digits, of lrn-deploy's zoo" in text
    assert "trained, shipped as digits.safetensors" in text
    assert "Each value from 0 to 255 is reduced by 78." in text
    assert "32-bit floating point" in text
    card.get_by_text("2 layers").click()
    assert card.locator("tbody th").all_inner_texts() == ["norm1", "norm2"]


def test_the_card_leads_to_the_report(open_page: Open) -> None:
    page = open_page("digits")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="what was checked and measured").click()
    report = opened.value
    report.wait_for_load_state()
    assert "digits" in report.locator("h1").inner_text()
    assert report.locator("body").evaluate("body => getComputedStyle(body).margin") == "0px"


def test_two_artifacts_of_a_bundle_stand_side_by_side(open_page: Open) -> None:
    page = open_page("digits", "digits-model")
    page.get_by_role("button", name="Example of a 3").click()
    assert (best(page, 0)[0], best(page, 1)[0]) == ("3", "3")
    assert page.locator(".result h3").all_inner_texts() == ["digits", "digits-model"]
    told = page.locator(".difference p").inner_text()
    assert told.startswith("Both say 3. ")
    assert page.locator(".difference tbody tr").count() == 5
    assert page.locator("#cards h3").all_inner_texts() == ["digits", "digits-model"]


def test_two_models_that_know_other_classes_say_so(open_page: Open) -> None:
    page = open_page("colours", "quadrants")
    choose(page, picture("red"))
    page.get_by_text("They know different classes").wait_for()
    assert page.locator(".result").count() == 2


@pytest.mark.parametrize(("row", "column"), [(0, 1), (1, 0)])
def test_where_the_network_looks(open_page: Open, row: int, column: int) -> None:
    page = open_page("quadrants")
    choose(page, bright(row, column))
    best(page)
    page.get_by_role("button", name="Where does it look?").click()
    page.locator(".overlay rect.falls").first.wait_for()
    cells = page.locator(".overlay rect:not(.region)")
    assert cells.count() == 64
    opacity = cells.evaluate_all("cells => cells.map((one) => +one.getAttribute('fill-opacity'))")
    strongest = int(np.argmax(opacity))
    assert (strongest // 8 // 4, strongest % 8 // 4) == (row, column)
    told = page.locator("#looked p").first.inner_text()
    place = ("top", "bottom")[row], ("left", "right")[column]
    assert f"'{place[0]} {place[1]}'" in told
    assert "in one batch" in page.locator("#looked").inner_text()
    assert page.locator(".overlay").get_attribute("aria-label") == told
    page.get_by_role("button", name="Where does it look?").click()
    assert cells.count() == 0
