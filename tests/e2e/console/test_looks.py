"""Dark and light, keys, narrow screens, and what screens are read by."""

from __future__ import annotations

import pytest
from hookd.v1.common_pb2 import HookSpec
from playwright.sync_api import Browser, Page, expect

from tests.e2e.console.conftest import At
from tests.support.api import Api, refusal

PAGES = ["/", "/console/conflicts", "/console/runs", "/console/hooks", "/console/queues"]


@pytest.fixture
def some(api: Api) -> list[str]:
    """Some runs, the last one first."""
    for number in (1, 2, 3):
        api.start(f"run-{number}", claims=[HookSpec(token=f"token-{number}" + "x" * 300)])
    refusal(api.claim, "run-1", "token-2" + "x" * 300)
    return ["run-3", "run-2", "run-1"]


def _ground(page: Page) -> int:
    """How bright the ground of the page is, from 0 to 255."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return int(colour.partition("(")[2].split(",")[0])


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_colours_are_those_of_the_system_until_others_are_chosen(
    browser: Browser, origin: str, scheme: str
) -> None:
    """The choice lasts; to choose the system's again follows the system again."""
    with browser.new_context(color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(origin)
        was_dark = _ground(page) < 128
        assert was_dark == (scheme == "dark")
        page.get_by_role("button", name="Switch between dark and light").click()
        assert (_ground(page) < 128) != was_dark
        page.goto(f"{origin}/console/runs")
        assert (_ground(page) < 128) != was_dark
        page.keyboard.press("t")
        assert (_ground(page) < 128) == was_dark
        assert page.evaluate("localStorage.length") == 0


def _come_to(page: Page, title: str) -> None:
    """Waits for a page that keys have led to, and for its script."""
    expect(page).to_have_title(f"{title} · hookd")
    page.wait_for_load_state()


def test_keys_lead_through_pages_and_lists(api: Api, page: Page, at: At, some: list[str]) -> None:
    """g and a letter, j and k, Enter, slash."""
    page.goto(at("/"))
    page.keyboard.press("g")
    page.keyboard.press("r")
    _come_to(page, "Runs")
    assert api.project in page.url
    for key, marked in (("j", 0), ("j", 1), ("j", 2), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        expect(page.locator(".marked")).to_contain_text(some[marked])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(some[1])
    page.wait_for_load_state()
    page.keyboard.press("g")
    page.keyboard.press("h")
    _come_to(page, "Hooks")
    page.keyboard.press("/")
    page.keyboard.type("token-2j")
    search = page.get_by_label("Token", exact=True)
    expect(search).to_be_focused()
    expect(search).to_have_value("token-2j")
    page.keyboard.press("Escape")
    expect(search).not_to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("c")
    _come_to(page, "Conflicts")


def test_a_mark_stays_while_the_list_grows(api: Api, page: Page, at: At, some: list[str]) -> None:
    """Fragments are put in new, and who is in them is not thrown out."""
    page.goto(at("/console/conflicts"))
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator(".marked")).to_contain_text("token-2")
    refusal(api.claim, "run-1", "token-3" + "x" * 300)
    expect(page.get_by_text("2 conflicts")).to_be_visible()
    expect(page.locator(".marked")).to_contain_text("token-2")
    assert page.evaluate("document.activeElement.closest('.marked') !== null")


def test_every_page_fits_a_narrow_screen(
    browser: Browser, origin: str, at: At, some: list[str]
) -> None:
    """Nothing has to be scrolled sideways, however long a token is."""
    size = {"width": 390, "height": 844}
    with browser.new_context(viewport=size) as context:  # type: ignore[arg-type]
        page = context.new_page()
        more = [at("/console/run", run=some[0]), at("/console/hook", run=some[0], hook="claim-1")]
        asked = [
            at("/console/cancel", run=some[0]),
            at("/console/dispose", run=some[0], hook="claim-1"),
            at("/console/resume", run=some[0], hook="claim-1"),
        ]
        for path in [*(at(path) for path in PAGES), *more, *asked]:
            page.goto(origin + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_pages_can_be_read_out(page: Page, at: At, some: list[str]) -> None:
    """One heading at the top, a name for every control, titles that differ, a way past the top."""
    titles = set()
    for path in [*(at(path) for path in PAGES), at("/console/run", run=some[0])]:
        page.goto(path)
        titles.add(page.title())
        assert page.get_by_role("heading", level=1).count() == 1
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("button, a, input:not([type=hidden]), select")]
                .filter((one) => !(one.labels?.length || one.ariaLabel || one.innerText.trim()))
                .map((one) => one.outerHTML)"""
        )
        assert unnamed == []
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    assert len(titles) == len(PAGES) + 1


def test_times_tell_the_exact_one(page: Page, at: At, some: list[str]) -> None:
    """In their titles, to the millisecond."""
    page.goto(at("/console/runs"))
    time = page.get_by_role("table").locator("time").first
    assert (time.get_attribute("title") or "").endswith(" UTC")
    assert "." in (time.get_attribute("datetime") or "")
