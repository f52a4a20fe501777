"""Mutated claims: Rust answers and stores what Python does, or leaves them to Python.

Requests go through the lane as bytes, on a store on disk; and, parsed by
protobuf, through ``HookService`` on a copy of the same records in memory. The
answers must be equal, and all that is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from itertools import count
from typing import Any

import pytest
from hookd.v1 import hook_service_pb2 as pb
from hookd_daemon.api import hooks as hooks_module
from hookd_daemon.api import specs as specs_module
from hookd_daemon.api import validate
from hookd_daemon.api.hooks import HookService
from hookd_daemon.api.parsing import parser
from hookd_daemon.store.keys import REVISIONS
from hookd_daemon.store.memory import MemoryStore
from hookd_daemon.store.rocks.plain import Kind
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.test_plain_claims import Call, World, _outcome
from tests.fuzz.claims import REQUESTS, check_read_alike
from tests.fuzz.wire import Bytes, message, nested, number, sized, spoiled
from tests.support.effort import effort

Request = tuple[Kind, bytes]

RUNS = (b"pending", b"external", b"ended", b"unknown", b"", b"an error", b"\xc3\xa4")
HOOKS = (b"h1", b"h2", b"h3", b"h0", b"", b"x" * 128, b"x" * 129, b"a b")
TOKENS = (b"t1", b"t2", b"held", b"", b"\0", b"\xf0\x9f\xaa\x9d", b"x" * 128, b"x" * 513, b"\xff")
PROJECTS = (b"", b"default", b"other", b"bad!", b"x" * 65, b"\xed\xa0\x80")


def text(field: int, values: tuple[bytes, ...]) -> Bytes:
    """A field with one of some texts, the first ones more often than the others."""
    usual = st.sampled_from(values[:2])
    return st.one_of(usual, usual, st.sampled_from(values)).map(partial(sized, field))


seconds = st.sampled_from((0, 1, 60, 2**40, 2**64 - 1)).map(lambda value: number(1, value))
#: What makes a claim one that is not plain: metadata, ttl and hold_after.
more = st.one_of(
    st.just(b""),
    st.just(b""),
    st.just(b""),
    nested(3, st.just(sized(1, b"application/json") + sized(2, b"1"))),
    nested(4, seconds),
    nested(5, seconds),
)
spec = message(text(1, HOOKS), text(2, TOKENS), more, often=1)
claim = message(text(1, RUNS), nested(2, spec), often=1)
project = st.one_of(st.just(b""), st.just(b""), text(1, PROJECTS))
batch_id = st.sampled_from((0, 1, 2**32, 2**64 - 1)).map(partial(number, 1))


def claims(field: int) -> Bytes:
    """Some claims."""
    return st.lists(nested(field, claim), max_size=5).map(b"".join)


requests = st.one_of(
    st.tuples(st.just(Kind.ONE), message(project, text(2, RUNS), nested(3, spec), often=1)),
    st.tuples(st.just(Kind.BATCH), message(project, claims(2), often=1)),
    st.tuples(st.just(Kind.STREAM), message(batch_id, claims(3), often=1)),
    st.tuples(st.sampled_from(Kind), spoiled(st.binary(max_size=60))),
)

RESPONSES = {
    Kind.ONE: pb.CreateHookResponse,
    Kind.BATCH: pb.CreateHooksResponse,
    Kind.STREAM: pb.ClaimStreamResponse,
}


async def by_python(hooks: HookService, kind: Kind, data: bytes) -> Any:
    """The answer of the reference."""
    request: Any = parser(REQUESTS[kind])(data, Call())
    if kind is Kind.ONE:
        return await hooks.create_hook(request, Call())
    if kind is Kind.BATCH:
        return await hooks.create_hooks(request, Call())
    response = pb.ClaimStreamResponse(batch_id=request.batch_id)
    project = validate.project(request.project)
    await hooks.claim_batch(Call(), project, request.hooks, response.results.add)
    return response


async def by_the_lane(world: World, kind: Kind, data: bytes) -> Any:
    """The answer of the daemon."""
    lane = world.lane
    if kind is not Kind.STREAM:
        answer = lane.create_hook if kind is Kind.ONE else lane.create_hooks
        return RESPONSES[kind].FromString(await answer(data, Call()))

    async def sent() -> AsyncIterator[bytes]:
        yield data

    (response,) = [
        pb.ClaimStreamResponse.FromString(answer)
        async for answer in lane.claim_stream(sent(), Call())
    ]
    return response


async def check_same(world: World, kind: Kind, data: bytes, names: Any) -> None:
    """Sends a request both ways."""
    copy = MemoryStore()
    copy.values = world.stored()
    copy.ordered = sorted(copy.values)
    copy.last_revision = world.store.last_revision
    backend = world.backend_on(copy)
    backend.booted_ms = world.backend.booted_ms
    names()
    expected = await _outcome(lambda: by_python(HookService(backend), kind, data))
    names()
    actual = await _outcome(lambda: by_the_lane(world, kind, data))
    assert actual == expected, (kind, data)
    stored, wanted = world.stored(), copy.values
    stored.pop(REVISIONS, None)
    wanted.pop(REVISIONS, None)
    assert stored == wanted, (kind, data)
    assert world.store.last_revision == copy.last_revision
    assert len(world.store.index) == sum(key.startswith(b"T") for key in stored)


@pytest.fixture(scope="module")
def told() -> dict[str, int]:
    """How many requests were plain, and how many were not."""
    return {"plain": 0, "other": 0}


@pytest.mark.torture
@settings(
    max_examples=effort(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(requests, min_size=1, max_size=12))
def test_mutated_claims_have_the_answers_and_the_records_of_the_reference(
    tmp_path_factory: pytest.TempPathFactory, told: dict[str, int], sent: list[Request]
) -> None:
    async def play(monkeypatch: pytest.MonkeyPatch) -> None:
        world = World(tmp_path_factory.mktemp("fuzz") / "data", monkeypatch)
        numbers = count()

        def names() -> None:
            """What is made from random bits is made from 0, 1, 2, … from here on."""
            nonlocal numbers
            numbers = count(world.store.last_revision * 1000)

        for module in (hooks_module, specs_module):
            monkeypatch.setattr(module, "random_text", lambda: f"random-{next(numbers)}")
        try:
            for run_id in ("pending", "external", "ended"):
                await world.start(run_id, external=run_id != "pending")
            await check_same(world, Kind.ONE, HELD, names)
            for kind, data in sent:
                await check_same(world, kind, data, names)
        finally:
            world.store.close()
        for answer in world.answers:
            told["other" if answer is None else "plain"] += 1

    with pytest.MonkeyPatch.context() as monkeypatch:
        asyncio.run(play(monkeypatch))


HELD = pb.CreateHookRequest(
    run_id="ended", hook={"hook_id": "h0", "token": "held", "hold_after": {"seconds": 60}}
).SerializeToString()


def test_both_kinds_were_among_them(told: dict[str, int]) -> None:
    """After the test above: else it has shown nothing."""
    if told == {"plain": 0, "other": 0}:
        pytest.skip("runs after the other test")
    assert min(told.values()) > 20, told


@pytest.mark.torture
@settings(max_examples=effort(400), deadline=None)
@given(requests)
def test_what_rust_reads_protobuf_reads_alike(request: Request) -> None:
    """Without a store: a request that is plain is a message, with these fields and no others."""
    check_read_alike(*request)
