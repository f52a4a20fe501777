"""A real Chromium for tests, unpacked by ``make`` from an npm package; nobody has to be root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

FOLDER = Path(__file__).resolve().parents[2] / ".build" / "chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    # This build of it crashes in its zygote.
    "--no-zygote",
    "--font-render-hinting=none",
]


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser inside the ``with`` block, with a new profile."""
    program = FOLDER / "chromium"
    assert program.exists(), "the browser is not installed: run `make setup`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=FLAGS,
            env={
                **os.environ,
                "LD_LIBRARY_PATH": str(FOLDER / "lib"),
                "FONTCONFIG_FILE": str(FOLDER / "fonts.conf"),
                "HOME": os.environ.get("HOME", "/tmp"),
            },
        )
        try:
            yield browser
        finally:
            browser.close()
