"""A browser that the tests of this folder share, and pages that are watched."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hookd_daemon.console.showing import address
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.support.api import Api
from tests.support.browser import browsing
from tests.support.daemon import Daemon

#: Milliseconds that something may take to appear.
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for all of them; each test has a profile of its own."""
    with browsing() as browser:
        yield browser


class Watched:
    """What pages must not do: fail, break their policy, or ask anybody else.

    Attributes:
        origins: whom they asked.
        complaints: what the browser said of scripts that failed and things
            that the policy does not allow.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.origins: set[str] = set()
        self.complaints: list[str] = []
        context.on("request", lambda request: self.origins.add(_origin(request.url)))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", self._heard)

    def _heard(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Refused to" in message.text:
            self.complaints.append(message.text)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@pytest.fixture
def origin(shared_daemon: Daemon) -> str:
    """Where the console is; a module with a daemon of its own has another."""
    return f"http://{shared_daemon.http}"


@pytest.fixture
def context(browser: Browser, origin: str) -> Iterator[BrowserContext]:
    """A new profile; whatever is opened in it is watched."""
    context = browser.new_context(base_url=origin, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    watched = Watched(context)
    yield context
    context.close()
    assert not watched.complaints
    assert watched.origins <= {origin}, "a page has asked somebody else"


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page in it."""
    return context.new_page()


@pytest.fixture
def plain_page(browser: Browser, origin: str) -> Iterator[Page]:
    """A page in a browser that runs no scripts."""
    with browser.new_context(base_url=origin, java_script_enabled=False) as context:
        context.set_default_timeout(PATIENCE_MS)
        yield context.new_page()


@pytest.fixture
def at(api: Api) -> At:
    """Addresses of the console in the project of the test."""
    return At(api.project)


class At:
    """Addresses of the console.

    Args:
        project: what they name.
    """

    def __init__(self, project: str) -> None:
        self._project = project

    def __call__(self, path: str, **query: str) -> str:
        """The address of a page."""
        return address(path, project=self._project, **query)
