"""A whole project as its API shows it: to compare, and to check that nothing is half there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hookd.v1.admin_service_pb2 import GetStatsRequest
from hookd.v1.common_pb2 import (
    HOOK_STATUS_ACTIVE,
    HOOK_STATUS_CLOSED,
    HOOK_STATUS_CONFLICTED,
    HOOK_STATUS_DISPOSED,
    HOOK_STATUS_EXPIRED,
    HOOK_STATUS_HELD,
    RUN_STATUS_PENDING,
    RUN_STATUS_RUNNING,
    Hook,
    Run,
)
from hookd.v1.events_pb2 import DISPOSE_CAUSE_EXPIRED, Event
from hookd.v1.hook_service_pb2 import ListHooksRequest
from hookd.v1.run_service_pb2 import ListEventsRequest, ListRunsRequest
from hookd.v1.stream_service_pb2 import ListStreamsRequest, ReadStreamRequest

from tests.support.api import Api

ACTIVE = (RUN_STATUS_PENDING, RUN_STATUS_RUNNING)
ENDS = ("run_completed", "run_failed", "run_cancelled")


@dataclass
class Snapshot:
    """What a project holds.

    Attributes:
        runs: the runs by their ids, without their leases' ends.
        logs: their events.
        hooks: their hooks, whatever the status, by (run id, hook id).
        tokens: the hooks that hold a token, by the token.
        streams: the chunks of their streams, by (run id, namespace).
    """

    runs: dict[str, Run] = field(default_factory=dict)
    logs: dict[str, list[Event]] = field(default_factory=dict)
    hooks: dict[tuple[str, str], Hook] = field(default_factory=dict)
    tokens: dict[str, Hook] = field(default_factory=dict)
    streams: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)


def snapshot(api: Api) -> Snapshot:
    """Reads everything that a project holds."""
    found = Snapshot()
    for run in all_runs(api):
        run.ClearField("lease_expires_at")
        found.runs[run.run_id] = run
        found.logs[run.run_id] = whole_log(api, run.run_id)
        for hook in all_hooks(api, run_id=run.run_id):
            found.hooks[run.run_id, hook.hook_id] = hook
        request = ListStreamsRequest(project=api.project, run_id=run.run_id)
        for stream in api.streams.ListStreams(request).streams:
            found.streams[run.run_id, stream.namespace] = chunks(api, run.run_id, stream.namespace)
    for hook in all_hooks(api):
        assert hook.token not in found.tokens, "two hooks hold one token"
        found.tokens[hook.token] = hook
    return found


def all_runs(api: Api, page_size: int = 200, **filters: object) -> Iterator[Run]:
    """All runs of a project, page by page."""
    token = ""
    while True:
        page = api.runs.ListRuns(
            ListRunsRequest(
                project=api.project,
                page_size=page_size,
                page_token=token,
                **filters,  # type: ignore[arg-type]
            )
        )
        assert len(page.runs) <= page_size
        yield from page.runs
        token = page.next_page_token
        if not token:
            return


def all_hooks(api: Api, run_id: str = "") -> Iterator[Hook]:
    """All hooks of a run, or all that hold a token, page by page."""
    token = ""
    while True:
        page = api.hooks.ListHooks(
            ListHooksRequest(project=api.project, run_id=run_id, page_size=500, page_token=token)
        )
        yield from page.hooks
        token = page.next_page_token
        if not token:
            return


def whole_log(api: Api, run_id: str) -> list[Event]:
    """All events of a run, page by page."""
    events: list[Event] = []
    while True:
        after = events[-1].seq if events else 0
        page = api.runs.ListEvents(
            ListEventsRequest(project=api.project, run_id=run_id, after_seq=after, page_size=1000)
        )
        events += page.events
        if not page.events or events[-1].seq >= page.last_seq:
            return events


def chunks(api: Api, run_id: str, namespace: str) -> list[bytes]:
    """The chunks of a stream that are there now."""
    request = ReadStreamRequest(
        project=api.project, run_id=run_id, namespace=namespace, no_wait=True
    )
    items = list(api.streams.ReadStream(request, timeout=30))
    found = [item.chunk for item in items if item.HasField("chunk")]
    assert [chunk.index for chunk in found] == list(range(len(found)))
    assert items[-1].closed.length == len(found)
    return [chunk.payload.data for chunk in found]


def check_whole(api: Api, found: Snapshot) -> None:
    """Holds a project against its own logs: nothing may be half there."""
    for run_id, log in found.logs.items():
        run = found.runs[run_id]
        assert [event.seq for event in log] == list(range(1, run.last_seq + 1)), run_id
        kinds = [event.WhichOneof("data") for event in log]
        assert kinds[0] == "run_created"
        # Exactly one end, and nothing after it; none while the run is active.
        ends = [i for i, kind in enumerate(kinds) if kind in ENDS]
        assert ends == ([] if run.status in ACTIVE else [len(kinds) - 1]), (run_id, kinds)
        _check_hooks(found, run, log)
    active = sum(run.status == RUN_STATUS_RUNNING for run in found.runs.values())
    pending = sum(run.status == RUN_STATUS_PENDING for run in found.runs.values())
    stats = api.admin.GetStats(GetStatsRequest(project=api.project))
    assert stats.active_tokens == len(found.tokens)
    assert (stats.running_runs, stats.pending_runs) == (active, pending)
    for token, holder in found.tokens.items():
        assert holder.status in (HOOK_STATUS_ACTIVE, HOOK_STATUS_HELD)
        hook = found.hooks[holder.run_id, holder.hook_id]
        assert (hook.token, hook.status) == (token, holder.status)
        assert hook.revision == holder.revision
        assert api.hook(token).hook_id == holder.hook_id
        is_active = found.runs[holder.run_id].status in ACTIVE
        assert is_active == (holder.status == HOOK_STATUS_ACTIVE)


def _check_hooks(found: Snapshot, run: Run, log: list[Event]) -> None:
    """A run's hooks are those of its log, and stand as the log says."""
    status: dict[str, int] = {}
    received: dict[str, list[int]] = {}
    for event in log:
        kind, hook_id = event.WhichOneof("data"), event.correlation_id
        if kind == "hook_created":
            assert hook_id not in status, "a hook was created twice"
            status[hook_id] = HOOK_STATUS_ACTIVE
            received[hook_id] = []
        elif kind == "hook_conflict":
            assert hook_id not in status, "a hook was created twice"
            status[hook_id] = HOOK_STATUS_CONFLICTED
            received[hook_id] = []
        elif kind == "hook_disposed":
            assert status[hook_id] == HOOK_STATUS_ACTIVE, "a hook was disposed twice"
            gone = event.hook_disposed.cause == DISPOSE_CAUSE_EXPIRED
            status[hook_id] = HOOK_STATUS_EXPIRED if gone else HOOK_STATUS_DISPOSED
        elif kind == "hook_received":
            assert status[hook_id] == HOOK_STATUS_ACTIVE, "a payload came too late"
            received[hook_id].append(event.hook_received.payload_seq)
    ours = {
        hook_id: hook for (run_id, hook_id), hook in found.hooks.items() if run_id == run.run_id
    }
    assert ours.keys() == status.keys()
    for hook_id, hook in ours.items():
        assert received[hook_id] == list(range(1, hook.payload_count + 1))
        expected = status[hook_id]
        if expected == HOOK_STATUS_ACTIVE and run.status not in ACTIVE:
            assert hook.status in (HOOK_STATUS_CLOSED, HOOK_STATUS_HELD, HOOK_STATUS_DISPOSED)
        else:
            assert hook.status == expected, hook
        if hook.status == HOOK_STATUS_ACTIVE:
            assert found.tokens[hook.token].hook_id == hook_id, "an active hook without its token"
