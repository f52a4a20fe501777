"""Who listens to several topics learns which were named, and may change its mind."""

from __future__ import annotations

import asyncio

import pytest
from hookd_daemon.errors import StoreUnavailableError
from hookd_daemon.store.hub import Hub


async def test_it_tells_which_topics_were_named_each_once() -> None:
    hub = Hub()
    with hub.subscribe("a", "b", "c") as news:
        hub.publish(["b", "x", "a", "b"])
        assert await news.wait(0)
        assert news.named() == ["b", "a"]
        assert news.named() == []
        hub.publish(["c"])
        assert news.named() == ["c"]


async def test_a_nudge_ends_a_wait_and_names_nothing() -> None:
    hub = Hub()
    with hub.subscribe() as news:
        waiting = asyncio.create_task(news.wait(30))
        await asyncio.sleep(0)
        news.nudge()
        assert await waiting
        assert news.named() == []
        # Also one that comes before the wait, and only one wait.
        news.nudge()
        news.nudge()
        assert await news.wait(0)
        assert not await news.wait(0)


async def test_topics_can_be_added_and_removed() -> None:
    hub = Hub()
    with hub.subscribe("a") as news:
        hub.publish(["b"])
        news.listen("b")
        assert not await news.wait(0)
        hub.publish(["b"])
        assert await news.wait(0)
        assert news.named() == ["b"]
        news.ignore("a")
        hub.publish(["a"])
        assert not await news.wait(0)
        news.ignore("never listened to")


async def test_a_topic_that_is_ignored_is_not_told_afterwards() -> None:
    hub = Hub()
    with hub.subscribe("a", "b") as news:
        hub.publish(["a", "b"])
        news.ignore("a")
        assert news.named() == ["b"]


async def test_topics_added_before_the_beginning_count() -> None:
    hub = Hub()
    news = hub.subscribe()
    news.listen("a")
    hub.publish(["a"])
    with news:
        assert not await news.wait(0)
        hub.publish(["a"])
        assert news.named() == ["a"]


async def test_nothing_stays_behind() -> None:
    hub = Hub()
    with hub.subscribe("a") as one, hub.subscribe("a", "b") as other:
        one.listen("c")
        other.ignore("b")
    assert not hub.open
    assert hub._waiters == {}


async def test_closing_wakes_who_listens_to_nothing() -> None:
    hub = Hub()
    with hub.subscribe() as news:
        waiting = asyncio.create_task(news.wait(None))
        await asyncio.sleep(0)
        hub.close()
        with pytest.raises(StoreUnavailableError):
            await waiting


async def test_nobody_begins_to_listen_after_the_close() -> None:
    hub = Hub()
    hub.close()
    with pytest.raises(StoreUnavailableError), hub.subscribe("a"):
        raise AssertionError("it listens")
    assert not hub.open
    assert hub._waiters == {}
