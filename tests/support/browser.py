"""A real browser for tests: headless Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_OPTIONS = [
    "--no-sandbox",
    "--use-fake-device-for-media-stream",  # a camera with a moving picture
    "--use-fake-ui-for-media-stream",  # which needs no permission
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; skips where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page of its own in a browser, without anything that others left behind.

    Attributes:
        page: Playwright's page.
        complaints: What the browser wrote of errors, and what no script caught.
    """

    def __init__(self, browser: Browser, **options: Any) -> None:
        self._context = browser.new_context(**options)
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.page.on(
            "console",
            lambda message: message.type in ("error", "warning") and self._note(message.text),
        )
        self.page.on("pageerror", lambda error: self._note(str(error)))

    def _note(self, text: str) -> None:
        self.complaints.append(text)

    @property
    def faults(self) -> list[str]:
        """The complaints that are no more than a browser's record of a refusal."""
        return [text for text in self.complaints if not text.startswith("Failed to load resource")]

    def close(self) -> None:
        """End it."""
        self._context.close()


def violations(page: Page, *rules: str) -> list[dict[str, Any]]:
    """What axe finds, by some of its rules or by all that it goes by of itself."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found: list[dict[str, Any]] = axe.Axe().run(page, options=options).response["violations"]
    return found
