"""The list of runs, with a hundred thousand of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hookd.v1.common_pb2 import RUN_STATUS_COMPLETED, RUN_STATUS_RUNNING
from hookd.v1.events_pb2 import Event, RunCompleted, RunCreated
from hookd_daemon.console.runs import LOOKS, PAGE
from hookd_daemon.core import keys
from hookd_daemon.core.searching import IDS_AT_ONCE
from hookd_daemon.records.v1.records_pb2 import RunRecord
from hookd_daemon.store.rocks import RocksStore
from hookd_daemon.store.tx import Tx
from playwright.sync_api import Page, expect

from tests.e2e.console.http import ask
from tests.support.daemon import Daemon, running

RUNS = 100_000
#: One in so many has this workflow, and is running; the others have completed.
RARE = 50_000
BEGIN_MS = 1_700_000_000_000


def _event(seq: int, **data: Any) -> bytes:
    event = Event(seq=seq, **data)
    event.time.FromMilliseconds(BEGIN_MS)
    return event.SerializeToString()


# The same for all of them: it is the number of runs that counts here.
CREATED = _event(1, run_created=RunCreated(workflow="usual"))
COMPLETED = _event(2, run_completed=RunCompleted())


async def _add(tx: Tx, first: int, last: int) -> None:
    """Writes what ``core`` would have written of these runs, without asking it for each."""
    for number in range(first, last):
        rare = number % RARE == 7
        uid, created, run_id = tx.revision(), BEGIN_MS + number, _id(number)
        record = RunRecord(
            uid=uid,
            workflow="rare" if rare else "usual",
            created_ms=created,
            ended_ms=0 if rare else created,
            external=True,
            status=RUN_STATUS_RUNNING if rare else RUN_STATUS_COMPLETED,
            last_seq=1 if rare else 2,
        )
        age, raw = keys.age(created, uid), run_id.encode()
        tx.put(keys.run("default", run_id), record.SerializeToString())
        tx.put(keys.runs_by_time("default") + age, raw)
        tx.put(keys.runs_by_status("default", record.status) + age, raw)
        tx.put(keys.events(uid) + keys.number(1), CREATED)
        if not rare:
            tx.put(keys.events(uid) + keys.number(2), COMPLETED)


async def _fill(folder: Path) -> None:
    store = RocksStore(folder)
    try:
        for first in range(0, RUNS, 5_000):
            await store.transact(_add, first, first + 5_000)
    finally:
        store.close()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with all these runs."""
    folder = tmp_path_factory.mktemp("full")
    _filled(folder / "data")
    with running(folder, "--retention=keep") as daemon:
        yield daemon


def _filled(data: Path) -> None:
    # Where a browser is driven, a loop runs in this thread already.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, _fill(data)).result()


@pytest.fixture
def origin(full: Daemon) -> str:
    """Where its console is."""
    return f"http://{full.http}"


def _ids(page: Page) -> list[str]:
    return page.locator("tr[data-key]").evaluate_all("rows => rows.map((row) => row.dataset.key)")


def _id(number: int) -> str:
    return f"run-{number:06d}-{number % 1000:03d}x"


def test_pages_follow_each_other_without_gaps(page: Page) -> None:
    """Newest first; each page has as many as the one before."""
    page.goto("/console/runs")
    seen: list[str] = []
    for _ in range(3):
        seen += _ids(page)
        page.get_by_role("link", name="Older").click()
        expect(page.locator("tr[data-key]").first).to_contain_text(_id(RUNS - 1 - len(seen)))
    assert seen == [_id(RUNS - 1 - i) for i in range(3 * PAGE)]
    page.get_by_role("link", name="From the newest").click()
    expect(page.locator("tr[data-key]").first).to_contain_text(_id(RUNS - 1))


def test_an_id_and_its_beginning_are_found_however_old(page: Page) -> None:
    """Without looking through the others."""
    page.goto("/console/runs")
    page.get_by_label("Id", exact=True).fill(_id(3))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Begin with")).to_be_visible()
    assert _ids(page)[0] == _id(3)
    page.get_by_label("Id", exact=True).fill("run-00001")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="run-00001")).to_be_visible()
    assert _ids(page)[:10] == [_id(10 + i) for i in range(10)]


def test_a_text_in_an_id_is_looked_for_bit_by_bit(page: Page) -> None:
    """The page says how far it has looked, and goes on from there to the end."""
    page.goto("/console/runs?q=000042-042x")
    looked = 0
    for _ in range(RUNS // (LOOKS * IDS_AT_ONCE) + 1):
        told = page.locator(".count").inner_text()
        found = re.search(r"([0-9,]+) ids", told)
        assert found, told
        here = int(found[1].replace(",", ""))
        assert here <= LOOKS * IDS_AT_ONCE
        looked += here
        if _ids(page):
            break
        page.get_by_role("link", name="Go on looking").click()
        page.wait_for_load_state()
    assert _ids(page) == [_id(42)]
    assert looked <= RUNS


def test_rare_ones_are_found_by_status(page: Page) -> None:
    """The list by status has them alone."""
    page.goto("/console/runs")
    page.get_by_label("Status").select_option("running")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tr[data-key]")).to_have_count(RUNS // RARE)
    assert _ids(page) == [_id(RARE + 7), _id(7)]


def test_rare_ones_are_found_by_workflow_page_by_page(full: Daemon) -> None:
    """A page ends after so many runs were looked at, with few of them or none, and goes on."""
    path, pages, found = "/console/runs?workflow=rare", 0, []
    while path:
        answer = ask(full.http, path)
        assert answer.status == 200
        found += re.findall(r'<tr data-key="([^"]+)"', answer.text)
        following = re.search(r'rel="next" href="([^"]+)"', answer.text)
        path = following[1].replace("&amp;", "&") if following else ""
        pages += 1
        assert pages < 100
    assert found == [_id(RARE + 7), _id(7)]
    assert pages > 10


def test_the_overview_counts_nothing(full: Daemon, page: Page) -> None:
    """Its numbers are kept, and right."""
    page.goto("/")
    active = page.locator("#f-numbers div").filter(has_text="Active runs")
    expect(active.locator("dd")).to_have_text(str(RUNS // RARE))
    expect(page.locator("#f-latest-runs")).to_contain_text(_id(RUNS - 1))
