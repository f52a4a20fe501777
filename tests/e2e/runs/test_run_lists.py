"""ListRuns with its filters and cursors; ListEvents and WatchRun, resumable by seq."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hookd.v1.common_pb2 import (
    RUN_STATUS_CANCELLED,
    RUN_STATUS_COMPLETED,
    RUN_STATUS_FAILED,
    RUN_STATUS_PENDING,
    RUN_STATUS_RUNNING,
    Run,
    RunStatus,
)
from hookd.v1.events_pb2 import Event
from hookd.v1.run_service_pb2 import ListEventsRequest, ListRunsRequest, WatchRunRequest

from tests.support.api import Api, json_payload, refusal
from tests.support.daemon import Daemon
from tests.support.snapshot import all_runs

RUNS = 300


@pytest.fixture(scope="module")
def many(shared_daemon: Daemon) -> tuple[Api, list[Run]]:
    """A project with 300 runs of all kinds, and the runs in the order of their start."""
    api = Api(shared_daemon.channel(), "many-runs")
    for i in range(RUNS):
        run_id = f"r{i}"
        api.start(
            run_id,
            workflow=f"w{i % 3}",
            external=i % 5 != 0,
            input=json_payload(str(i)),
            attributes={"i": str(i)},
        )
        if i % 5 == 2:
            api.complete(run_id)
        elif i % 5 == 3:
            api.fail(run_id)
        elif i % 5 == 4:
            api.cancel(run_id)
    return api, [api.run(f"r{i}") for i in range(RUNS)]


def ids(runs: Any) -> list[str]:
    return [run.run_id for run in runs]


@pytest.mark.parametrize("page_size", [1000, 100, 7, 300])
def test_run_list_pages_newest_first(many: tuple[Api, list[Run]], page_size: int) -> None:
    api, runs = many
    assert ids(all_runs(api, page_size)) == ids(reversed(runs))


def test_run_list_shows_runs_without_their_payloads(many: tuple[Api, list[Run]]) -> None:
    api, runs = many
    for listed, run in zip(all_runs(api), reversed(runs), strict=True):
        expected = Run()
        expected.CopyFrom(run)
        for field in ("input", "output"):
            expected.ClearField(field)  # type: ignore[arg-type]
        expected.failure.ClearField("details")
        if not run.HasField("failure"):
            expected.ClearField("failure")
        assert listed == expected


def test_run_list_filters(many: tuple[Api, list[Run]]) -> None:
    api, runs = many
    newest = list(reversed(runs))
    statuses: list[RunStatus.ValueType]
    for statuses in (
        [RUN_STATUS_PENDING],
        [RUN_STATUS_RUNNING],
        [RUN_STATUS_COMPLETED],
        [RUN_STATUS_FAILED, RUN_STATUS_CANCELLED],
        [RUN_STATUS_FAILED, RUN_STATUS_FAILED],
    ):
        expected = [r for r in newest if r.status in statuses]
        assert expected
        assert ids(all_runs(api, 7, statuses=statuses)) == ids(expected)
        both = [r for r in expected if r.workflow == "w1"]
        assert ids(all_runs(api, 7, statuses=statuses, workflow="w1")) == ids(both)
    assert ids(all_runs(api, 7, workflow="w2")) == ids(r for r in newest if r.workflow == "w2")
    assert list(all_runs(api, workflow="w")) == []


@pytest.mark.parametrize("statuses", [[], [RUN_STATUS_COMPLETED]])
def test_run_list_by_time(many: tuple[Api, list[Run]], statuses: list[int]) -> None:
    api, runs = many
    wanted = [r for r in reversed(runs) if not statuses or r.status in statuses]
    low, high = runs[60].created_at, runs[240].created_at
    for more in ({}, {"created_after": low}, {"created_before": high}):
        check_time(api, wanted, statuses, **more)
    check_time(api, wanted, statuses, created_after=low, created_before=high)
    # The bounds are at or after, and before.
    assert runs[60].run_id in ids(all_runs(api, created_after=low, created_before=high))
    assert runs[240].run_id not in ids(all_runs(api, created_before=high))
    assert list(all_runs(api, created_after=high, created_before=low)) == []
    future = Timestamp(seconds=4_000_000_000)
    assert list(all_runs(api, created_after=future)) == []
    assert list(all_runs(api, created_before=Timestamp(seconds=1))) == []


def check_time(api: Api, wanted: list[Run], statuses: list[int], **bounds: Timestamp) -> None:
    low, high = bounds.get("created_after"), bounds.get("created_before")
    expected = [
        run.run_id
        for run in wanted
        if (low is None or run.created_at.ToNanoseconds() >= low.ToNanoseconds())
        and (high is None or run.created_at.ToNanoseconds() < high.ToNanoseconds())
    ]
    assert ids(all_runs(api, 11, statuses=statuses, **bounds)) == expected


def test_run_list_is_consistent_while_runs_are_added(api: Api) -> None:
    """Whoever pages sees each run that was there once, and none twice."""
    old = [api.start().run.run_id for _ in range(60)]
    stop = threading.Event()
    added: list[str] = []

    def add() -> None:
        while not stop.is_set():
            added.append(api.start().run.run_id)

    with ThreadPoolExecutor(1) as pool:
        adding = pool.submit(add)
        try:
            for page_size in (1, 7, 25):
                before = len(added)
                seen = ids(all_runs(api, page_size))
                assert len(seen) == len(set(seen))
                assert [r for r in seen if r in set(old)] == old[::-1]
                assert set(added[:before]) <= set(seen)
            assert added
        finally:
            stop.set()
        adding.result(30)
    assert ids(all_runs(api)) == (old + added)[::-1]


def test_run_list_page_token_belongs_to_its_list(many: tuple[Api, list[Run]]) -> None:
    api, _ = many
    first = api.runs.ListRuns(ListRunsRequest(project=api.project, page_size=5, workflow="w1"))
    for wrong in (
        {"workflow": "w2", "page_token": first.next_page_token},
        {"page_token": first.next_page_token},
        {"workflow": "w1", "page_token": "rubbish"},
        {"workflow": "w1", "page_token": "é"},
    ):
        told = refusal(api.runs.ListRuns, ListRunsRequest(project=api.project, **wrong))
        assert list(told.fields) == ["page_token"]
    for size in (-1, 1001):
        told = refusal(api.runs.ListRuns, ListRunsRequest(project=api.project, page_size=size))
        assert list(told.fields) == ["page_size"]


@pytest.fixture
def logged(api: Api) -> tuple[Api, list[Event]]:
    """A run "r" with some 40 events, and the events."""
    api.start("r")
    api.claim("r", "t", "h")
    for i in range(40):
        api.resume("t", str(i))
    return api, api.log("r")


def watch(api: Api, after: int = 0) -> Any:
    request = WatchRunRequest(project=api.project, run_id="r", after_seq=after)
    return api.runs.WatchRun(request, timeout=30)


def test_run_events_are_listed_from_any_seq(logged: tuple[Api, list[Event]]) -> None:
    api, log = logged
    assert [event.seq for event in log] == list(range(1, 44))
    for size in (1, 7, 43, 1000):
        seen: list[Event] = []
        while True:
            after = seen[-1].seq if seen else 0
            page = api.runs.ListEvents(
                ListEventsRequest(project=api.project, run_id="r", after_seq=after, page_size=size)
            )
            assert (page.last_seq, page.run_status) == (43, RUN_STATUS_RUNNING)
            assert len(page.events) <= size
            seen += page.events
            if seen[-1].seq == page.last_seq:
                break
        assert seen == log
    for after in (43, 44, 2**64 - 1):
        request = ListEventsRequest(project=api.project, run_id="r", after_seq=after)
        assert list(api.runs.ListEvents(request).events) == []
    unknown = ListEventsRequest(project=api.project, run_id="nobody")
    assert refusal(api.runs.ListEvents, unknown).reason == "RUN_NOT_FOUND"


def test_run_watch_resumes_after_any_seq(logged: tuple[Api, list[Event]]) -> None:
    api, log = logged
    for after in (0, 1, 20, 42):
        stream = watch(api, after)
        assert [next(stream).event for _ in range(43 - after)] == log[after:]
        stream.cancel()
    api.complete("r")
    log = api.log("r")
    for after in (0, 20, 43, 44, 2**64 - 1):
        # It ends after the event that ends the run.
        assert [item.event for item in watch(api, after)] == log[after:]
    assert refusal(lambda: list(watch(Api(api.channel, "nowhere")))).reason == "RUN_NOT_FOUND"


def test_run_watch_follows_the_log_as_it_grows(api: Api) -> None:
    api.start("r")
    streams = [watch(api) for _ in range(3)]
    api.claim("r", "t", "h")
    with ThreadPoolExecutor(3) as pool:
        seen = [pool.submit(lambda s=s: [item.event for item in s]) for s in streams]
        for i in range(50):
            api.resume("t", str(i))
        api.complete("r")
        assert [s.result(30) for s in seen] == [api.log("r")] * 3


def test_run_watch_goes_on_after_a_crash(daemon: Daemon) -> None:
    api = Api(daemon.channel(), "p")
    api.start("r")
    api.claim("r", "t", "h")
    stream = watch(api)
    seen = [next(stream).event for _ in range(3)]
    daemon.restart()
    api = Api(daemon.channel(), "p")
    assert api.run("r").last_seq == 3
    stream = watch(api, seen[-1].seq)
    api.resume("t")
    seen.append(next(stream).event)
    api.complete("r")
    seen += [item.event for item in stream]
    assert seen == api.log("r")
    assert [event.seq for event in seen] == [1, 2, 3, 4, 5]
