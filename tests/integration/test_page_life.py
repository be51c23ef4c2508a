"""The page while the server comes and goes, nobody looks, or a key is asked for."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lrn_deploy.cli import run
from tests.support.browser import Tab, chromium
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
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("life") / "colours"
    colour_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Tab]:
    tab = Tab(browser)
    yield tab
    tab.close()


@pytest.fixture(autouse=True)
def _without_faults(tab: Tab) -> Iterator[None]:
    tab.complaints.clear()
    yield
    assert tab.faults == []


@pytest.fixture(scope="module")
def limited(bundle: Path) -> Iterator[Running]:
    """A server that answers one client every other second."""
    with serving(bundle, "--threads", "1", "--rate-limit", "0.5") as running:
        yield running


def visit(tab: Tab, server: Running) -> Page:
    tab.page.goto(f"http://{server.http}/")
    return tab.page


def choose(page: Page, content: bytes) -> None:
    page.locator("#file").set_input_files(
        {"name": "p.png", "mimeType": "image/png", "buffer": content}
    )


def test_the_page_outlives_the_server_and_takes_up_again_with_the_next(
    tab: Tab, bundle: Path
) -> None:
    with serving(bundle, "--threads", "1") as server:
        port = server.ports["http_port"]
        page = visit(tab, server)
        choose(page, picture("red"))
        page.locator(".best").wait_for()
        page.get_by_text("Ready", exact=True).wait_for()
        server.process.send_signal(signal.SIGKILL)
        server.finish()
    away = page.locator("#away")
    away.wait_for()
    assert "What you see stays here; the page tries again by itself" in away.inner_text()
    assert page.locator(".best strong").inner_text() == "red"
    assert page.locator("#connection").inner_text() == "Away"
    choose(page, picture("blue"))  # asked of nobody
    page.get_by_text("The image is kept, and is sent again when the server is back.").wait_for()
    page.get_by_role("button", name="Try now").click()  # in vain
    page.get_by_text("The server does not answer.").wait_for()
    with serving(bundle, "--threads", "1", http_port=port):
        away.wait_for(state="hidden")  # by itself
        page.locator(".best strong").get_by_text("blue").wait_for()
        assert page.locator(".trouble").count() == 0
        page.get_by_text("Ready", exact=True).wait_for()


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_nothing_is_asked_while_nobody_looks(tab: Tab, limited: Running) -> None:
    page = visit(tab, limited)
    page.get_by_text("colours, the last two minutes.").wait_for()
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    page.evaluate(HIDE, True)
    page.get_by_text("Paused while nobody looks.").wait_for()
    assert asked == []
    page.evaluate(HIDE, False)
    page.get_by_text("colours, the last two minutes.").wait_for()
    assert page.locator("#away").is_hidden()
    assert asked == [f"http://{limited.http}/v1/stats"]


def test_who_asks_too_often_is_told_when_to_try_again(tab: Tab, limited: Running) -> None:
    page = visit(tab, limited)
    page.get_by_text("colours, the last two minutes.").wait_for()
    choose(page, picture("red"))
    page.locator(".best strong").get_by_text("red").wait_for()
    choose(page, picture("blue"))
    trouble = page.locator(".trouble")
    trouble.wait_for()
    said = trouble.inner_text()
    assert "Too many requests just now." in said
    assert "a client may send 0.5 a second" in said
    assert "429" not in said
    page.wait_for_function(
        """() => [...document.querySelectorAll(".chart svg")].some((one) =>
             /^Refusals .* at most (0\\.\\d*)?[1-9]/.test(one.getAttribute("aria-label")))"""
    )
    page.get_by_role("button", name="Try again").click()  # once it can be
    page.locator(".best strong").get_by_text("blue").wait_for()
    assert trouble.count() == 0


def test_a_key_is_asked_for_and_kept_in_this_tab_only(
    tab: Tab, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys.json"
    assert run(["keys", "add", str(file), "visitor"]) == 0
    key = capsys.readouterr().out.strip()
    (bundle / "reports").mkdir(exist_ok=True)
    (bundle / "reports/report.html").write_text("<!DOCTYPE html>a report")
    with serving(bundle, "--threads", "1", "--keys", file) as server:
        page = visit(tab, server)
        dialog = page.get_by_role("dialog", name="This server asks for a key")
        dialog.wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("The server asks for a key.").wait_for()
        page.reload()
        dialog.wait_for()
        page.get_by_label("API key").fill("wrong")
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.getElementById('key').value === ''")
        dialog.wait_for()  # again, since that one was none
        page.get_by_label("API key").fill(key)
        page.keyboard.press("Enter")
        page.get_by_text("Ready", exact=True).wait_for()
        assert dialog.is_hidden()
        choose(page, picture("red"))
        page.locator(".best strong").get_by_text("red").wait_for()
        kept = "[sessionStorage.length, localStorage.length, document.cookie, location.href]"
        assert page.evaluate(kept) == [1, 0, "", f"http://{server.http}/"]
        with page.expect_download() as saved:
            page.get_by_role("link", name="what was checked and measured").click()
        assert saved.value.suggested_filename == "colours-report.html"
        assert Path(saved.value.path()).read_text() == "<!DOCTYPE html>a report"
