"""Pages that are open show what happens."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from hookd.v1.stream_service_pb2 import WriteChunksRequest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.console.conftest import At
from tests.support.api import Api, json_payload
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon, running


def test_the_overview_counts_as_it_is_looked_at(tmp_path: Path, browser: Browser) -> None:
    """Charts, numbers and lists."""
    with running(tmp_path) as daemon, browser.new_context() as context:
        page, api = context.new_page(), Api(daemon.channel())
        page.goto(f"http://{daemon.http}/")
        chart = page.get_by_role("figure").filter(has_text="Active tokens")
        expect(chart.locator(".value")).to_have_text("0")
        expect(page.get_by_text("No runs yet")).to_be_visible()
        api.start("first")
        api.claim("first", "one")
        expect(chart.locator(".value")).to_have_text("1")
        expect(page.get_by_role("link", name="first")).to_be_visible()
        for name in ("Active runs", "Claims", "Conflicts", "Flush time"):
            expect(page.get_by_role("img", name=name)).to_be_visible()


def test_a_run_grows_on_its_page(api: Api, page: Page, at: At) -> None:
    """Events, payloads, chunks of streams, and the end; what was opened stays open."""
    api.start("run", input=json_payload('{"order": 7}'))
    api.claim("run", "token", "hook")
    page.goto(at("/console/run", run="run"))
    page.locator("summary", has_text="input").click()
    opened = page.locator("details[open]", has_text="order")
    expect(opened).to_be_visible()
    api.resume("token", '{"paid": true}')
    expect(page.locator(".timeline").get_by_text("Payload 1")).to_be_visible()
    expect(opened).to_be_visible()
    chunks = [json_payload('"charging the card"')]
    request = WriteChunksRequest(
        project=api.project, run_id="run", namespace="progress", chunks=chunks
    )
    # A stream that began after the page was opened comes with the next event.
    api.streams.WriteChunks(request)
    api.resume("token", "2")
    expect(page.get_by_label("Streams").get_by_text("charging the card")).to_be_visible()
    api.complete("run", '{"done": 1}')
    expect(page.locator(".facts").get_by_text("completed")).to_be_visible()
    expect(page.get_by_label("Input and result").get_by_text('"done": 1')).to_be_visible()
    expect(page.get_by_role("link", name="Cancel run…")).to_have_count(0)


def test_chunks_come_as_they_are_written(api: Api, page: Page, at: At) -> None:
    """Of a stream that was there when the page was opened."""
    api.start("run")

    def write(text: str) -> None:
        chunks = [json_payload(f'"{text}"')]
        api.streams.WriteChunks(
            WriteChunksRequest(project=api.project, run_id="run", chunks=chunks)
        )

    write("one")
    page.goto(at("/console/run", run="run"))
    streams = page.get_by_label("Streams")
    expect(streams.get_by_text("one")).to_be_visible()
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    write("two")
    expect(streams.get_by_text("two")).to_be_visible()


def test_the_payloads_of_a_hook_come_to_its_page(api: Api, page: Page, at: At) -> None:
    """And whether the code has seen them is told of runs that workers execute."""
    api.start("run")
    api.claim("run", "token", "hook")
    page.goto(at("/console/hook", run="run", hook="hook"))
    expect(page.get_by_text("No payloads yet")).to_be_visible()
    api.resume("token", '{"number": 1}')
    expect(page.get_by_role("heading", name="Payload 1")).to_be_visible()
    api.dispose("run", "hook")
    expect(page.locator(".facts").get_by_text("disposed")).to_be_visible()


def test_an_open_page_does_not_keep_the_daemon_from_ending(
    tmp_path: Path, browser: Browser
) -> None:
    """Its stream of events is a stream, and ends on drain."""
    with running(tmp_path) as daemon, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://{daemon.http}/console/conflicts")
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        eventually(lambda: _open(daemon) == 1)
        assert daemon.terminate() == 0
        expect(page.get_by_text("reconnecting")).to_be_visible()
        assert "Traceback" not in daemon.log


def _metrics(daemon: Daemon) -> str:
    with urllib.request.urlopen(f"http://{daemon.http}/metrics", timeout=30) as answer:
        return answer.read().decode()


def _open(daemon: Daemon) -> float:
    lines = [
        line for line in _metrics(daemon).splitlines() if line.startswith("hookd_streams_open")
    ]
    return float(lines[0].rpartition(" ")[2]) if lines else 0
