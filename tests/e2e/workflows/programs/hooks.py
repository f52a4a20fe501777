"""Workflows about hooks and tokens: one or two for each case."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hookd import (
    HookClosedError,
    HookConflictError,
    InvalidArgumentError,
    create_hook,
    define_hook,
    random,
    step,
    uuid4,
    workflow,
)


@workflow
async def collect(token: str, metadata: Any = None) -> dict[str, Any]:
    """Takes payloads until one says that it is the last."""
    hook = create_hook(token=token, metadata=metadata)
    payloads = []
    async for payload in hook:
        payloads.append(payload)
        if payload.get("done"):
            break
    return {"metadata": hook.metadata, "payloads": payloads}


@workflow
async def process_payment(token: str) -> dict[str, Any]:
    """Takes one payload, or tells all about whoever has the token."""
    hook = create_hook(token=token)
    try:
        payment = await hook
    except HookConflictError as conflict:
        return {
            "success": False,
            "token": conflict.token,
            "run_id": conflict.conflicting_run_id,
            "hook_id": conflict.hook_id,
            "status": conflict.run_status,
            "workflow": conflict.workflow,
            "revision": conflict.revision,
            "message": str(conflict),
        }
    return {"success": True, "payment": payment}


async def _owner_of(hook: Any) -> str | None:
    conflict = await hook.get_conflict()
    return None if conflict is None else str(conflict.run_id)


@workflow
async def claim(token: str) -> str | None:
    """Claims a token, and ends at once; gives the owner's run id if there is one."""
    return await _owner_of(create_hook(token=token))


@workflow
async def claim_all(tokens: list[str]) -> list[str | None]:
    """Claims many tokens in one turn, and ends at once; gives their owners."""
    hooks = [create_hook(token=token) for token in tokens]
    return [await _owner_of(hook) for hook in hooks]


@workflow
async def lose_and_try_again(token: str, wake: str) -> list[str | None]:
    """Loses a claim, is put aside, asks again, and then makes a new claim."""
    hook = create_hook(token=token)
    owners = [await _owner_of(hook)]
    await create_hook(token=wake)
    owners.append(await _owner_of(hook))
    try:
        await hook
    except HookConflictError as conflict:
        owners.append(conflict.conflicting_run_id)
    owners.append(await _owner_of(create_hook(token=token)))
    return owners


@workflow
async def own_and_end(tokens: list[str], signal: str, hold_after: float | None = None) -> str:
    """Owns tokens until a signal says how to end."""
    hooks = [create_hook(token=token, hold_after=hold_after) for token in tokens]
    word = await create_hook(token=signal)
    if word == "fail":
        raise RuntimeError("asked for")
    if word == "dispose":
        for hook in hooks:
            hook.dispose()
        word = await create_hook(token=f"{signal}/2")
    return str(word)


@workflow
async def own_for(token: str, ttl: float) -> list[Any]:
    """Takes payloads until the hook has expired; tells what a further wait meets."""
    hook = create_hook(token=token, ttl=ttl)
    got = [payload async for payload in hook]
    try:
        await hook
    except HookClosedError as closed:
        got.append(closed.status)
    return got


@workflow
async def claim_twice(token: str) -> list[str | None]:
    """Two hooks of one run want the same token."""
    first, second = create_hook(token=token), create_hook(token=token)
    return [await _owner_of(first), await _owner_of(second)]


@workflow
async def ask_for_conflicts(token: str, wake: str) -> list[Any]:
    """Asks again and again whether there is a conflict, before and after payloads came."""
    hook = create_hook(token=token)
    answers: list[Any] = [await _owner_of(hook), await _owner_of(hook)]
    await create_hook(token=wake)
    answers.append(await _owner_of(hook))
    if answers[0] is None:
        answers.append(await hook)
        answers.append(await _owner_of(hook))
    return answers


@workflow
async def read_late(box: str, wake: str, how: str) -> list[Any]:
    """Takes what came to a hook only after something else; perhaps disposes the hook before."""
    hook = create_hook(token=box)
    await create_hook(token=wake)
    if how == "await":
        return [await hook for _ in range(5)]
    if how == "dispose":
        hook.dispose()
    elif how == "dispose and wait":
        assert await hook.dispose()
    return [payload async for payload in hook]


@workflow
async def dispose_again(token: str, wake: str) -> list[str | None]:
    """Disposes its hook, or the one that never got its token, again and again."""
    hook = create_hook(token=token)
    owners = [await _owner_of(hook)]
    hook.dispose()
    hook.dispose()
    await create_hook(token=wake)
    hook.dispose()
    owners.append(await _owner_of(hook))
    return owners


@workflow
async def claim_again(token: str, times: int) -> list[Any]:
    """Gives a token up and claims it again, in one turn and over several."""
    got: list[Any] = []
    for _ in range(times):
        hook = create_hook(token=token)
        hook.dispose()
    hook = create_hook(token=token)
    got.append(await _owner_of(hook))
    for _ in range(times):
        got.append(await hook)
        hook.dispose()
        hook = create_hook(token=token)
    return got


@workflow
async def wait_until_closed(token: str) -> str:
    """Waits for a payload; tells why none can come any more."""
    hook = create_hook(token=token)
    try:
        return f"payload {await hook}"
    except HookClosedError as closed:
        return str(closed.status)


@workflow
async def claim_texts(tokens: list[str]) -> list[Any]:
    """Claims tokens of any text, and takes a payload with each."""
    hooks = [create_hook(token=token) for token in tokens]
    return list(await asyncio.gather(*hooks))


@workflow
async def claim_nonsense(free: str) -> list[str]:
    """Tries to claim what is no token; then claims one that is."""
    told = []
    nonsense: list[Any] = ["", 42, b"bytes", "a lone \ud800 surrogate", ["list"]]
    for token in nonsense:
        try:
            create_hook(token=token)
        except InvalidArgumentError as error:
            told.append(str(error))
    told.append(str(await create_hook(token=free).get_conflict()))
    return told


@workflow
async def claim_with_bad_facts(token: str, done: str) -> list[str]:
    """Tries to claim a token with facts that are none."""
    told = []
    bad: list[dict[str, Any]] = [
        {"metadata": object()},
        {"metadata": "x" * 70_000},
        {"ttl": -1},
        {"ttl": 0},
        {"hold_after": "for a while"},
    ]
    for facts in bad:
        try:
            create_hook(token=token, **facts)
        except InvalidArgumentError as error:
            told.append(str(error))
    await create_hook(token=done)
    return told


@workflow
async def claim_one(token: str) -> Any:
    """Claims a token and takes one payload."""
    return await create_hook(token=token)


@step
async def same(value: list[str]) -> list[str]:
    """Gives what it got: what a replay draws must be what was recorded."""
    return value


@workflow
async def draw(count: int) -> dict[str, list[str]]:
    """Makes tokens and other random things, before and after a step has recorded them."""
    hooks = [create_hook() for _ in range(count)]
    tokens = [hook.token for hook in hooks]
    drawn = [str(random().random()), str(uuid4())]
    recorded = await same([*tokens, *drawn])
    return {"tokens": tokens, "drawn": drawn, "recorded": recorded}


@dataclass
class Approval:
    """What an approver says."""

    by: str
    amount: int


approvals = define_hook(Approval)


@workflow
async def approve(token: str) -> Approval:
    """Takes a payload of a declared type."""
    approval = await approvals.create(token=token)
    assert isinstance(approval, Approval)
    return approval
