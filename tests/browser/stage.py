"""What the browser looks at: a real farm with an admin that asks for a password, and a Chromium that tells on pages.

Free of pytest, so that `make screenshots` uses it too.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright
from werkzeug.security import generate_password_hash

from tests.farm import Farm

PASSWORD, READ_PASSWORD = "an operator's word", "a reader's word"
CHROMIUM = shutil.which("chromium") or ""
# Milliseconds. Two cores are shared with other tests; nothing here is measured.
_PATIENCE = 60_000


def a_farm(folder: Path, **changes: str) -> Farm:
    """A farm whose admin has both passwords."""
    hashes = {
        "ADMIN_PASSWORD_HASH": generate_password_hash(PASSWORD),
        "ADMIN_READONLY_PASSWORD_HASH": generate_password_hash(READ_PASSWORD),
    }
    return Farm(folder, **hashes, **changes)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    # Its own sandbox does not start for root.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """One tab of a visitor. `complaints` holds console errors and requests that would have left the machine."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.origin, self.complaints = origin, list[str]()
        context.set_default_timeout(_PATIENCE)
        self.page: Page = context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} at {self.page.url}")

    def _on_request(self, request: Request) -> None:
        host = urlsplit(request.url).hostname
        if host not in (None, "127.0.0.1"):
            self.complaints.append(f"A request left the machine: {request.url}")

    def open(self, path: str) -> Page:
        """Go to a page of the admin."""
        self.page.goto(f"{self.origin}{path}")
        return self.page

    def sign_in(self, password: str = PASSWORD) -> None:
        """Sign in, and arrive at the dashboard."""
        self.open("/admin/sign-in")
        self.page.fill("#password", password)
        self.page.click("button.main")
        self.page.wait_for_selector("nav a[aria-current=page]")
