"""Waiting for commits, the same on every engine."""

from __future__ import annotations

import asyncio

import pytest
from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.store.tx import Store, Tx

from tests.conformance.conftest import Opener


async def say(tx: Tx, *topics: str) -> None:
    tx.put(b"Rsaid", b"1")
    for topic in topics:
        tx.notify(topic)


async def test_a_commit_wakes_who_listens(store: Store) -> None:
    with store.subscribe("a", "b") as news:
        waiting = asyncio.create_task(news.wait(30))
        await asyncio.sleep(0)
        assert not waiting.done()
        await store.transact(say, "b")
        assert await waiting


async def test_a_commit_between_two_waits_is_not_missed(store: Store) -> None:
    with store.subscribe("a") as news:
        await store.transact(say, "a")
        await store.transact(say, "a")
        assert await news.wait(0)
        # Both were before that wait: there is no second one to tell of.
        assert not await news.wait(0)


async def test_other_topics_wake_nobody(store: Store) -> None:
    with store.subscribe("a", ("x", 1)) as news:
        await store.transact(say, "b")
        await store.transact(say)
        assert not await news.wait(0)
        assert not await news.wait(0.01)


async def test_it_begins_to_listen_at_its_beginning_and_ends_at_its_end(store: Store) -> None:
    subscription = store.subscribe("a")
    await store.transact(say, "a")
    with subscription as news:
        assert not await news.wait(0)
        await store.transact(say, "a")
        assert await news.wait(0)
    await store.transact(say, "a")
    with store.subscribe("a") as another:
        assert not await another.wait(0)


async def test_every_listener_is_woken(store: Store) -> None:
    async def listen() -> bool:
        with store.subscribe("a") as news:
            return await news.wait(30)

    listeners = [asyncio.create_task(listen()) for _ in range(50)]
    await asyncio.sleep(0)
    await store.transact(say, "a")
    assert await asyncio.gather(*listeners) == [True] * 50


async def test_a_function_that_fails_wakes_nobody(store: Store) -> None:
    async def broken(tx: Tx) -> None:
        tx.put(b"Ra", b"1")
        tx.notify("a")
        raise ValueError("no")

    with store.subscribe("a") as news:
        with pytest.raises(ValueError, match="no"):
            await store.transact(broken)
        assert not await news.wait(0)


async def test_whoever_is_woken_finds_what_was_written(store: Store) -> None:
    async def read(tx: Tx) -> bytes | None:
        return await tx.get(b"Rsaid")

    async def listen() -> bytes | None:
        with store.subscribe("a") as news:
            await news.wait(30)
            return await store.transact(read)

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await store.transact(say, "a")
    assert await listener == b"1"


async def test_nobody_is_woken_before_the_function_is_through(store: Store) -> None:
    seen = []

    with store.subscribe("a") as news:
        waiting = asyncio.create_task(news.wait(30))
        await asyncio.sleep(0)

        async def slow(tx: Tx) -> None:
            tx.notify("a")
            tx.put(b"Ra", b"1")
            seen.append(waiting.done())

        await store.transact(slow)
        assert seen == [False]
        assert await waiting


async def test_notifications_of_a_function_that_wrote_nothing(store: Store) -> None:
    async def wake(tx: Tx) -> None:
        tx.notify("a")

    with store.subscribe("a") as news:
        await store.transact(wake)
        assert await news.wait(0)


async def test_a_wait_can_be_cancelled_and_begun_again(store: Store) -> None:
    with store.subscribe("a") as news:
        waiting = asyncio.create_task(news.wait(None))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await store.transact(say, "a")
        assert await news.wait(0)


async def test_closing_ends_every_wait(opener: Opener) -> None:
    store = opener()
    with store.subscribe("a") as news:
        waiting = asyncio.create_task(news.wait(None))
        await asyncio.sleep(0)
        opener.close(store)
        with pytest.raises(StoreUnavailableError):
            await waiting
        for timeout in (0, 0.01):
            with pytest.raises(StoreUnavailableError):
                await news.wait(timeout)


async def test_a_wait_begun_after_the_close_ends_at_once(opener: Opener) -> None:
    """Also the second one: the store wakes its waiters for good."""
    store = opener()
    with store.subscribe("a") as news:
        opener.close(store)
        for _ in range(2):
            async with asyncio.timeout(5):
                with pytest.raises(StoreUnavailableError):
                    await news.wait(None)
