"""Hooks that are created at the same time: merged or not, the same is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import hookd
import pytest
from hookd import Client, Hook, HookConflictError, HookdError, InvalidArgumentError, run
from hookd.v1.admin_service_pb2 import GetStatsRequest
from hookd.v1.common_pb2 import HOOK_STATUS_ACTIVE

from tests.support.api import Api, unique
from tests.support.daemon import Daemon

#: Whose answers are compared: a few of each kind, 64 in all.
KINDS = {
    "won": 20,
    "generated": 8,
    "conflict": 12,
    "held": 4,
    "no such run": 4,
    "ended run": 4,
    "reused id": 4,
    "again": 4,
    "long token": 1,
    "bad run id": 1,
    "long hook id": 1,
    "large metadata": 1,
}


@pytest.fixture
async def client(shared_daemon: Daemon, api: Api) -> AsyncIterator[Client]:
    async with hookd.connect(shared_daemon.address, project=api.project) as connected:
        yield connected


def wish(kind: str, number: int, side: str) -> tuple[str, dict[str, Any]]:
    """The run and the arguments of one hook; ``side`` keeps two sets of them apart."""
    token = f"{side}/{kind}/{number}"
    match kind:
        case "generated":
            return "active", {"metadata": {"n": number}, "ttl": 3600}
        case "conflict":
            return "active", {"token": "taken", "hook_id": f"{token}".replace(" ", "-")}
        case "held":
            return "active", {"token": "held"}
        case "no such run":
            return "missing", {"token": token}
        case "ended run":
            return "ended", {"token": token}
        case "reused id":
            return "active", {"token": token, "hook_id": "known"}
        case "again":
            return "active", {"token": "known", "hook_id": "known"}
        case "long token":
            return "active", {"token": "x" * 600}
        case "bad run id":
            return "no good", {"token": token}
        case "long hook id":
            return "active", {"token": token, "hook_id": "x" * 200}
        case "large metadata":
            return "active", {"token": token, "metadata": "x" * 70_000}
        case _:
            return "active", {"token": token, "metadata": [number], "hold_after": 1}


def seen(outcome: Hook | BaseException, side: str) -> Any:
    """What a user can tell two outcomes apart by, without what is new each time."""
    if isinstance(outcome, Hook):
        token = outcome.token.removeprefix(side) if side in outcome.token else len(outcome.token)
        return token, outcome.run, outcome.metadata, outcome.revision > 0
    assert isinstance(outcome, HookdError), repr(outcome)
    facts = {**vars(outcome), "metadata": dict(outcome.metadata)}
    told = repr((type(outcome), str(outcome), outcome.reason, sorted(facts.items())))
    return told.replace(side, ""), outcome.__cause__


async def create(client: Client, kind: str, number: int, side: str) -> Hook | BaseException:
    run_id, arguments = wish(kind, number, side)
    try:
        return await client.get_run(run_id).create_hook(**arguments)
    except HookdError as error:
        return error


async def test_64_hooks_at_once_are_answered_like_64_one_by_one(
    client: Client, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await client.start("checkout", run_id="owner", external=True)
    await owner.create_hook("taken")
    holder = await client.start("checkout", run_id="holder", external=True)
    await holder.create_hook("held", hold_after="1h")
    await holder.complete()
    await (await client.start("checkout", run_id="ended", external=True)).cancel()
    active = await client.start("checkout", run_id="active", external=True)
    await active.create_hook("known", hook_id="known")
    wishes = [(kind, n) for kind, count in KINDS.items() for n in range(count)]
    assert len(wishes) == 64
    # Ids of one length and with nothing random: some messages name them.
    ids = iter(range(1000))
    monkeypatch.setattr(run, "new_id", lambda prefix: f"{prefix}_{next(ids):04}")

    alone = [await create(client, kind, n, "alone/") for kind, n in wishes]
    calls = calls_of(client)
    merged = await asyncio.gather(*(create(client, kind, n, "merge/") for kind, n in wishes))

    assert calls.count("CreateHooks") == 1
    # Those whose arguments are wrong were asked again, to know which.
    assert calls.count("CreateHook") == 4
    for wanted, one, other in zip(wishes, alone, merged, strict=True):
        assert seen(other, "merge/") == seen(one, "alone/"), wanted
    assert [type(item).__name__ for item in merged] == [
        *["Hook"] * 28,
        *["HookConflictError"] * 16,
        *["RunNotFoundError"] * 4,
        *["RunNotActiveError"] * 4,
        *["IdReusedError"] * 4,
        *["Hook"] * 4,
        *["InvalidArgumentError"] * 4,
    ]
    assert all(item.violations for item in merged if isinstance(item, InvalidArgumentError))
    hooks = [item for item in merged if isinstance(item, Hook)]
    assert all(api.hook(hook.token).hook_id == hook.hook_id for hook in hooks)


def calls_of(client: Client) -> list[str]:
    """The names of the calls that a client makes from now on."""
    transport = client._transport
    made: list[str] = []
    call = transport.call

    async def noted(method: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(method._method.decode().rpartition("/")[2])
        return await call(method, *args, **kwargs)

    transport.call = noted  # type: ignore[method-assign]
    return made


def contend(address: str, project: str, run_id: str, tokens: list[str]) -> list[str]:
    """In a process of its own: claims tokens, all at once; gives those that it got."""

    async def claim() -> list[str]:
        async with hookd.connect(address, project=project) as client:
            run = client.get_run(run_id)
            found = await asyncio.gather(
                *(run.create_hook(token) for token in tokens), return_exceptions=True
            )
        assert all(isinstance(item, Hook | HookConflictError) for item in found), repr(found)
        return [item.token for item in found if isinstance(item, Hook)]

    return asyncio.run(claim())


def test_of_many_processes_and_tasks_one_gets_each_token(shared_daemon: Daemon, api: Api) -> None:
    tokens = [f"t{n}" for n in range(50)]
    runs = [unique("run") for _ in range(4)]
    for run_id in runs:
        api.start(run_id)
    # Each process asks three times for each token.
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(contend, shared_daemon.address, api.project, run_id, tokens * 3)
            for run_id in runs
        ]
        won = [job.result(60) for job in jobs]
    assert sorted(token for mine in won for token in mine) == sorted(tokens)
    for run_id, mine in zip(runs, won, strict=True):
        assert {api.hook(token).run_id for token in mine} <= {run_id}


async def test_each_has_one_answer_when_the_daemon_is_killed_meanwhile(daemon: Daemon) -> None:
    async with hookd.connect(daemon.address) as client:
        runs = [await client.start("w", external=True) for _ in range(2)]
        stop = asyncio.Event()
        answers: list[tuple[str, hookd.Run, Hook | HookConflictError]] = []

        async def claim(task: int) -> None:
            number = 0
            while not stop.is_set():
                # Each token is wanted by a task of each run.
                token, run = f"t{task // 2}-{number}", runs[task % 2]
                number += 1
                try:
                    answers.append((token, run, await run.create_hook(token)))
                except HookConflictError as error:
                    answers.append((token, run, error))

        tasks = [asyncio.ensure_future(claim(n)) for n in range(64)]
        for _ in range(3):
            enough = len(answers) + 500
            while len(answers) < enough:
                await asyncio.wait(tasks, timeout=0.01, return_when=asyncio.FIRST_EXCEPTION)
                for task in tasks:
                    assert not task.done(), task.exception()
            await asyncio.to_thread(daemon.restart)
        stop.set()
        await asyncio.gather(*tasks)

        api = Api(daemon.channel())
        owners: dict[str, Hook] = {}
        for token, _, outcome in answers:
            if isinstance(outcome, Hook):
                assert token not in owners
                owners[token] = outcome
        assert len({(token, run) for token, run, _ in answers}) == len(answers)
        for token, run, outcome in answers:
            if isinstance(outcome, HookConflictError):
                assert outcome.conflicting_run_id != run.run_id
                assert owners[token].run.run_id == outcome.conflicting_run_id
        stats = api.admin.GetStats(GetStatsRequest())
        assert stats.active_tokens == len(owners)
        for token in list(owners)[:: max(1, len(owners) // 50)]:
            found = api.hook(token)
            assert (found.hook_id, found.status) == (owners[token].hook_id, HOOK_STATUS_ACTIVE)
