"""Keys, ranges and commits, the same on every engine."""

from __future__ import annotations

import asyncio
import random

import pytest
from hookd_daemon.errors import HookdError, RunNotFoundError, StoreUnavailableError
from hookd_daemon.store.tx import Store, Tx

from tests.conformance.conftest import Opener

Pairs = list[tuple[bytes, bytes]]


async def put_all(tx: Tx, pairs: dict[bytes, bytes]) -> None:
    for key, value in pairs.items():
        tx.put(key, value)


async def get(tx: Tx, key: bytes) -> bytes | None:
    return await tx.get(key)


async def scan(tx: Tx, start: bytes, end: bytes, limit: int) -> Pairs:
    return await tx.scan(start, end, limit)


async def test_get_put_delete(store: Store) -> None:
    async def change(tx: Tx) -> list[bytes | None]:
        seen = [await tx.get(b"Ra"), await tx.get(b"Rb")]
        tx.put(b"Ra", b"2")
        tx.delete(b"Rb")
        tx.delete(b"Rnever")
        return [*seen, await tx.get(b"Ra"), await tx.get(b"Rb")]

    assert await store.transact(get, b"Ra") is None
    await store.transact(put_all, {b"Ra": b"1", b"Rb": b"1", b"Rempty": b"", b"R\0\xff": b"\0"})
    assert await store.transact(change) == [b"1", b"1", b"2", None]
    assert await store.transact(get, b"Ra") == b"2"
    assert await store.transact(get, b"Rb") is None
    assert await store.transact(get, b"Rempty") == b""
    assert await store.transact(get, b"R\0\xff") == b"\0"


async def test_the_last_write_of_a_key_counts(store: Store) -> None:
    async def flip(tx: Tx) -> None:
        tx.put(b"Ra", b"1")
        tx.delete(b"Ra")
        tx.put(b"Ra", b"2")
        tx.put(b"Rb", b"1")
        tx.delete(b"Rb")

    await store.transact(flip)
    assert await store.transact(scan, b"R", b"S", 10) == [(b"Ra", b"2")]


async def test_scan_is_ordered_bounded_and_limited(store: Store) -> None:
    names = [b"R\0", b"Ra", b"Ra\0", b"Rab", b"Rb", b"R\xff", b"S"]
    shuffled = names[:]
    random.Random(7).shuffle(shuffled)
    await store.transact(put_all, {name: name for name in shuffled})
    found = await store.transact(scan, b"R", b"S", 100)
    assert [key for key, _ in found] == names[:-1]
    assert all(key == value for key, value in found)
    assert [k for k, _ in await store.transact(scan, b"Ra", b"Rb", 100)] == [
        b"Ra",
        b"Ra\0",
        b"Rab",
    ]
    assert [k for k, _ in await store.transact(scan, b"Ra", b"S", 2)] == [b"Ra", b"Ra\0"]
    assert await store.transact(scan, b"Rc", b"Rd", 100) == []


async def test_scan_sees_the_writes_of_its_own_function(store: Store) -> None:
    await store.transact(put_all, {b"R1": b"old", b"R3": b"old", b"R5": b"old"})

    async def overlay(tx: Tx, limit: int) -> Pairs:
        tx.delete(b"R1")
        tx.put(b"R2", b"new")
        tx.put(b"R3", b"new")
        tx.put(b"R9", b"new")
        tx.put(b"S", b"outside")
        pairs = await tx.scan(b"R", b"S", limit)
        raise Seen(pairs)

    full = [(b"R2", b"new"), (b"R3", b"new"), (b"R5", b"old"), (b"R9", b"new")]
    for limit in range(1, 6):
        with pytest.raises(Seen) as seen:
            await store.transact(overlay, limit)
        assert seen.value.args[0] == full[:limit], limit


class Seen(Exception):
    """Carries a result out of a function that shall change nothing."""


async def test_scan_with_overlay_like_a_dictionary(store: Store) -> None:
    """Random writes and scans, beside a dictionary that is right at a glance."""
    dice = random.Random(20)
    names = [b"R%d" % i for i in range(30)]
    model: dict[bytes, bytes] = {}

    async def go(tx: Tx, pending: dict[bytes, bytes], steps: int) -> None:
        for _ in range(steps):
            name = dice.choice(names)
            if dice.random() < 0.4:
                tx.delete(name)
                pending.pop(name, None)
            else:
                value = dice.randbytes(3)
                tx.put(name, value)
                pending[name] = value
            start, end = sorted(dice.choices(names, k=2))
            limit = dice.randint(1, 12)
            expected = sorted(p for p in pending.items() if start <= p[0] < end)[:limit]
            assert await tx.scan(start, end, limit) == expected
        if dice.random() < 0.3:
            raise Seen

    for _ in range(60):
        pending = dict(model)
        try:
            await store.transact(go, pending, 8)
        except Seen:
            continue
        model = pending
    assert await store.transact(scan, b"R", b"S", 100) == sorted(model.items())


@pytest.mark.parametrize("error", [ValueError("x"), RunNotFoundError("r"), KeyboardInterrupt()])
async def test_an_exception_undoes_the_writes(store: Store, error: BaseException) -> None:
    await store.transact(put_all, {b"Rkept": b"1", b"Rgone": b"1"})

    async def broken(tx: Tx) -> None:
        tx.put(b"Rkept", b"2")
        tx.put(b"Rnew", b"2")
        tx.delete(b"Rgone")
        raise error

    with pytest.raises(type(error)) as raised:
        await store.transact(broken)
    assert raised.value is error
    assert await store.transact(scan, b"R", b"S", 10) == [(b"Rgone", b"1"), (b"Rkept", b"1")]


async def test_a_hookd_error_is_let_out_whole(store: Store) -> None:
    async def refuse(tx: Tx) -> None:
        raise RunNotFoundError("run-9")

    with pytest.raises(RunNotFoundError) as raised:
        await store.transact(refuse)
    assert raised.value.metadata == {"run_id": "run-9"}
    assert isinstance(raised.value, HookdError)


async def test_arguments_and_result_pass_through(store: Store) -> None:
    async def echo(tx: Tx, first: int, *, second: str) -> tuple[int, str]:
        return first, second

    assert await store.transact(echo, 1, second="two") == (1, "two")


async def test_functions_at_once_lose_no_update(store: Store) -> None:
    async def add_one(tx: Tx) -> int:
        value = int(await tx.get(b"Rsum") or b"0") + 1
        tx.put(b"Rsum", b"%d" % value)
        return value

    sums = await asyncio.gather(*[store.transact(add_one) for _ in range(200)])
    assert sorted(sums) == list(range(1, 201))
    assert await store.transact(get, b"Rsum") == b"200"


async def test_a_function_that_waits_for_something_else_is_refused(store: Store) -> None:
    cleaned = []

    async def dawdle(tx: Tx) -> None:
        tx.put(b"Ra", b"1")
        try:
            await asyncio.sleep(0)
        finally:
            cleaned.append(True)

    with pytest.raises(RuntimeError, match="waited for something else"):
        await store.transact(dawdle)
    assert cleaned == [True]
    assert await store.transact(get, b"Ra") is None


async def test_tallies_are_counted_with_the_commit(opener: Opener) -> None:
    store = opener()

    async def work(tx: Tx, fail: bool) -> None:
        tx.put(b"Ra", b"1")
        tx.tally("claims")
        tx.tally("claims", 2)
        tx.tally("runs.pending", -1)
        if fail:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await store.transact(work, fail=True)
    assert opener.tallies == []
    await store.transact(work, fail=False)
    assert opener.tallies == [{"claims": 3, "runs.pending": -1}]


async def test_tallies_of_a_function_that_wrote_nothing(opener: Opener) -> None:
    """A conflict that only answers with the owner is a conflict all the same."""
    store = opener()

    async def look(tx: Tx) -> None:
        tx.tally("conflicts")

    await store.transact(look)
    assert opener.tallies == [{"conflicts": 1}]


async def test_a_closed_store_says_so(opener: Opener) -> None:
    store = opener()
    opener.close(store)
    with pytest.raises(StoreUnavailableError):
        await store.transact(get, b"Ra")
    with pytest.raises(StoreUnavailableError), store.subscribe("x"):
        pass


async def test_closing_leaves_nobody_waiting(opener: Opener) -> None:
    """Who has written before the close is answered, or told; never left hanging."""
    store = opener()
    calls = [asyncio.create_task(store.transact(put_all, {b"R%d" % i: b"1"})) for i in range(5)]
    await asyncio.sleep(0)  # all of them have written, and none is answered
    opener.close(store)
    done, waiting = await asyncio.wait(calls, timeout=5)
    for call in waiting:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert not waiting
    for call in done:
        assert call.exception() is None or isinstance(call.exception(), StoreUnavailableError)
