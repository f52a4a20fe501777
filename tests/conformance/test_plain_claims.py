"""Plain claims do what the Python code does, byte by byte.

A request goes through the lane, where Rust carries it out if it is plain, and
on a copy of the same records in memory through ``HookService``, which is the
reference. The answers must be equal, and all that is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from hookd.v1 import hook_service_pb2 as pb
from hookd.v1.run_service_pb2 import CompleteRunRequest, StartRunRequest
from hookd.v1.webhook_pb2 import ManualAnswer, Webhook
from hookd_daemon.api import lane as lane_module
from hookd_daemon.api.backend import Backend
from hookd_daemon.api.context import CallContext
from hookd_daemon.api.hooks import HookService
from hookd_daemon.api.lane import ClaimLane
from hookd_daemon.api.runs import RunService
from hookd_daemon.api.status import to_status
from hookd_daemon.clock import Clock
from hookd_daemon.config import Settings
from hookd_daemon.errors import HookdError
from hookd_daemon.store.keys import REVISIONS
from hookd_daemon.store.memory import MemoryStore
from hookd_daemon.store.rocks import RocksStore
from hookd_daemon.store.rocks.plain import Answer, PlainClaims
from hookd_daemon.store.tx import Store, Tally
from hookd_daemon.telemetry.setup import Telemetry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Call(CallContext):
    """A call that nobody waits for."""

    def __init__(self, **metadata: str) -> None:
        self._metadata = metadata

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._metadata

    def time_remaining(self) -> float | None:
        return None

    def long_wait(self) -> AbstractContextManager[None]:
        return nullcontext()


class World:
    """A store on disk with a lane, and how to compare it with the reference."""

    BOOTED_MS = 1_700_000_000_000

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ms = self.BOOTED_MS
        self.clock = Clock(wall_ns=lambda: self.now_ms * 1_000_000, monotonic_ns=lambda: 0)
        monkeypatch.setattr(Clock, "now_ms", lambda _clock: self.now_ms)
        self.settings = Settings(data_dir=path)
        self.telemetry = Telemetry(self.settings)
        self.tallies: Tally = {}
        self.store = RocksStore(path, observe=lambda tally: _add(self.tallies, tally))
        self.backend = self.backend_on(self.store)
        # What the debug log wants to know makes batches go the slow way.
        monkeypatch.setattr(lane_module.log, "is_enabled_for", lambda _level: False)
        self.lane = ClaimLane(self.backend, self.store, HookService(self.backend))
        self.answers: list[Answer] = []
        make = PlainClaims._make

        def noted(claims: PlainClaims, requests: Any) -> list[Answer]:
            answers = make(claims, requests)
            self.answers += answers
            return answers

        monkeypatch.setattr(PlainClaims, "_make", noted)

    def backend_on(self, store: Store) -> Backend:
        telemetry = self.telemetry
        return Backend(store, self.clock, self.settings, telemetry.tracing, telemetry.metrics)

    def stored(self) -> dict[bytes, bytes]:
        return dict(self.store.pairs(b"", b"\xff"))

    async def start(self, run_id: str, **fields: Any) -> None:
        request = StartRunRequest(run_id=run_id, workflow="checkout", **fields)
        await RunService(self.backend, None).start_run(request, Call())  # type: ignore[arg-type]

    async def same(self, *requests: Message, call: CallContext | None = None) -> list[Any]:
        """Sends requests at once, and sees that they do what they do one by one."""
        call = call or Call()
        copy = MemoryStore(observe=lambda tally: _add(expected_tallies, tally))
        copy.values = self.stored()
        copy.ordered = sorted(copy.values)
        copy.last_revision = self.store.last_revision
        expected_tallies: Tally = {}
        backend = self.backend_on(copy)
        backend.booted_ms = self.backend.booted_ms
        hooks = HookService(backend)
        expected = [await _outcome(lambda r=r: _by_message(hooks, r, call)) for r in requests]
        self.tallies.clear()
        actual = await asyncio.gather(
            *(_outcome(lambda r=r: _by_bytes(self.lane, r, call)) for r in requests)
        )
        assert actual == expected
        stored, wanted = self.stored(), copy.values
        # Only an engine that forgets has to write down what it has given out.
        stored.pop(REVISIONS, None)
        wanted.pop(REVISIONS, None)
        assert stored == wanted
        assert self.tallies == expected_tallies
        assert self.store.last_revision == copy.last_revision
        return actual


def _add(sum_: Tally, tally: Tally) -> None:
    for what, times in tally.items():
        sum_[what] = sum_.get(what, 0) + times


async def _outcome(answer: Callable[[], Awaitable[Message]]) -> Any:
    try:
        return await answer()
    except HookdError as error:
        return to_status(error)


async def _by_message(hooks: HookService, request: Message, call: CallContext) -> Message:
    if isinstance(request, pb.CreateHookRequest):
        return await hooks.create_hook(request, call)
    if isinstance(request, pb.CreateHooksRequest):
        return await hooks.create_hooks(request, call)
    assert isinstance(request, pb.ClaimStreamRequest)
    response = pb.ClaimStreamResponse(batch_id=request.batch_id)
    project = request.project or "default"
    await hooks.claim_batch(call, project, request.hooks, response.results.add)
    return response


async def _by_bytes(lane: ClaimLane, request: Message, call: CallContext) -> Message:
    data = request.SerializeToString()
    if isinstance(request, pb.CreateHookRequest):
        return pb.CreateHookResponse.FromString(await lane.create_hook(data, call))
    if isinstance(request, pb.CreateHooksRequest):
        return pb.CreateHooksResponse.FromString(await lane.create_hooks(data, call))

    async def sent() -> AsyncIterator[bytes]:
        yield data

    (response,) = [
        pb.ClaimStreamResponse.FromString(answer)
        async for answer in lane.claim_stream(sent(), call)
    ]
    return response


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    world = World(tmp_path / "data", monkeypatch)
    yield world
    world.store.close()


def one(run_id: str, hook_id: str, token: str, **fields: Any) -> pb.CreateHookRequest:
    return pb.CreateHookRequest(run_id=run_id, hook={"hook_id": hook_id, "token": token, **fields})


def claims(*items: tuple[str, str, str]) -> list[pb.HookClaim]:
    return [
        pb.HookClaim(run_id=run_id, hook={"hook_id": hook_id, "token": token})
        for run_id, hook_id, token in items
    ]


async def test_a_claim_begins_a_run_and_the_next_one_finds_it_at_work(world: World) -> None:
    await world.start("a")
    await world.same(one("a", "h1", "t1"))
    await world.same(one("a", "h2", "t2"))
    assert [type(answer) for answer in world.answers] == [bytes, bytes]


async def test_a_lost_claim_is_told_the_owner(world: World) -> None:
    await world.start("a", external=True)
    await world.start("b", external=True)
    await world.same(one("a", "h", "token"), call=Call(traceparent=TRACEPARENT))
    (status,) = await world.same(one("b", "h", "token"))
    assert "already in use" in status.message
    (response,) = await world.same(pb.CreateHooksRequest(hooks=claims(("b", "h2", "token"))))
    assert response.results[0].error.conflict.run_id == "a"
    assert None not in world.answers


async def test_claims_of_one_group_meet_each_other(world: World) -> None:
    for run_id in ("a", "b", "c"):
        await world.start(run_id)
    answers = await world.same(*(one(run_id, "h", "token") for run_id in ("a", "b", "c", "a")))
    # The same id twice: the later one waits until the first is written.
    assert world.answers.count(None) == 1
    assert answers[0].hook.revision == answers[3].hook.revision


async def test_a_claim_with_a_webhook_is_not_plain(world: World) -> None:
    await world.start("run", external=True)
    webhook = Webhook(manual=ManualAnswer())
    (answer,) = await world.same(one("run", "reached", "t", webhook=webhook))
    assert answer.hook.webhook == webhook
    assert set(world.answers) <= {None}
    (lost,) = await world.same(one("run", "lost", "t"))
    assert "already in use" in lost.message


async def test_a_batch_meets_itself(world: World) -> None:
    await world.start("a")
    items = claims(("a", "h1", "x"), ("a", "h2", "x"), ("a", "h3", "y"), ("a", "h4", "x"))
    await world.same(pb.ClaimStreamRequest(batch_id=7, hooks=items))
    assert None not in world.answers


async def test_long_tokens_and_odd_texts(world: World) -> None:
    await world.start("a")
    await world.start("b")
    for i, token in enumerate(("t" * 128, "t" * 129, "é" * 128, "é" * 129, 'a"\\\n\0b')):
        await world.same(one("a", f"h{i}", token))
        await world.same(pb.CreateHooksRequest(hooks=claims(("b", f"h{i}", token))))
    assert None not in world.answers


async def test_an_ended_owner_that_holds_its_token(world: World) -> None:
    await world.start("a", external=True)
    await world.start("b", external=True)
    await world.same(one("a", "h", "token", hold_after={"seconds": 5}))
    await RunService(world.backend, None).complete_run(  # type: ignore[arg-type]
        CompleteRunRequest(run_id="a"), Call()
    )
    (status,) = await world.same(one("b", "h1", "token"))
    assert "run_status" in str(status)
    world.now_ms += 5_000
    (response,) = await world.same(one("b", "h2", "token"))
    assert response.hook.token == "token"


async def test_a_token_whose_ttl_has_passed_is_free(world: World) -> None:
    await world.start("a", external=True)
    await world.start("b", external=True)
    await world.same(one("a", "h", "token", ttl={"seconds": 5}))
    world.now_ms += 4_999
    (status,) = await world.same(one("b", "h1", "token"))
    assert "already in use" in status.message
    world.now_ms += 1
    (response,) = await world.same(one("b", "h2", "token"))
    assert response.hook.token == "token"


@pytest.mark.parametrize("which", ["a", "b"])
async def test_a_lease_that_has_lapsed(world: World, which: str) -> None:
    for run_id in ("a", "b"):
        lease = {"seconds": 5} if run_id == which else None
        await world.start(run_id, external=True, lease_ttl=lease)
    await world.same(one("a", "h", "token"))
    world.now_ms += 4_999
    await world.same(one("b", "h1", "token"))
    assert None not in world.answers
    world.now_ms += 1
    await world.same(one("b", "h2", "token"))
    assert world.answers[-1] is None


async def test_after_a_restart_a_lease_has_its_full_time_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = World(tmp_path / "data", monkeypatch)
    await before.start("a", external=True, lease_ttl={"seconds": 5})
    before.store.close()
    with monkeypatch.context() as later:
        later.setattr(World, "BOOTED_MS", World.BOOTED_MS + 60_000)
        world = World(tmp_path / "data", later)
        await world.same(one("a", "h1", "t1"))
        world.now_ms += 4_999
        await world.same(one("a", "h2", "t2"))
        assert None not in world.answers
        world.store.close()


async def test_another_project_on_a_stream_is_not_plain(world: World) -> None:
    await world.start("a")

    async def sent() -> AsyncIterator[bytes]:
        for project in ("default", "", "other"):
            yield pb.ClaimStreamRequest(project=project).SerializeToString()

    answers = world.lane.claim_stream(sent(), Call())
    assert [await anext(answers), await anext(answers)] == [b"", b""]
    with pytest.raises(HookdError, match="is not the one the stream began with"):
        await anext(answers)


RUNS = ("pending", "external", "leased", "ended", "unknown", "an error")
TOKENS = ("t1", "t2", "t3", "held", "", "x" * 600)

items = st.tuples(
    st.sampled_from(RUNS),
    st.sampled_from([f"h{i}" for i in range(12)] + [""]),
    st.sampled_from(TOKENS),
).filter(lambda item: item[1] != "")


def batch_of(some: list[tuple[str, str, str]]) -> pb.CreateHooksRequest:
    return pb.CreateHooksRequest(hooks=claims(*some))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.one_of(
            st.lists(items, min_size=1, max_size=1).map(lambda some: one(*some[0])),
            st.lists(items, max_size=8).map(batch_of),
        ),
        max_size=8,
    ),
    st.integers(0, 3_000),
)
def test_whatever_is_asked_for(
    tmp_path_factory: pytest.TempPathFactory, requests: list[Message], pace_ms: int
) -> None:
    async def play(monkeypatch: pytest.MonkeyPatch) -> None:
        world = World(tmp_path_factory.mktemp("plain") / "data", monkeypatch)
        try:
            await world.start("pending")
            await world.start("external", external=True)
            await world.start("leased", external=True, lease_ttl={"seconds": 10})
            await world.start("ended", external=True)
            await world.same(one("ended", "h0", "held", hold_after={"seconds": 15}))
            await RunService(world.backend, None).complete_run(  # type: ignore[arg-type]
                CompleteRunRequest(run_id="ended"), Call()
            )
            for request in requests:
                await world.same(request)
                world.now_ms += pace_ms
        finally:
            world.store.close()

    with pytest.MonkeyPatch.context() as monkeypatch:
        asyncio.run(play(monkeypatch))
