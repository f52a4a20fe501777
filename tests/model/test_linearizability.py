"""Calls on one token act as if made one at a time, in an order that respects real time (G8)."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import grpc.aio
import pytest

from tests.model.clients import Client, Load
from tests.model.history import check
from tests.support import effort
from tests.support.daemon import Daemon, running

pytestmark = [pytest.mark.long, pytest.mark.torture, pytest.mark.timeout(300)]

TOKENS = ["a", "b", "c"]
CONNECTIONS = 4
CLIENTS_PER_CONNECTION = 3
#: How many calls have an answer when the daemon is killed.
BETWEEN_KILLS = 700
#: What must have been answered for a history to say anything.
ANSWERS = {
    *("created", "conflict", "superseded", "existing", "delivered", "disposed", "ended"),
    *("already", "not active", "gone", "held", "free", "accepted", "no answer"),
}


async def history(daemon: Daemon, number: int, kills: int) -> Load:
    """Has clients work until the daemon was killed so often, and then some more."""
    load = Load(f"history-{number}", TOKENS, effort.seed() + number)
    channels = [
        grpc.aio.insecure_channel(
            daemon.address,
            options=[
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.min_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 200),
            ],
        )
        for _ in range(CONNECTIONS)
    ]
    try:
        async with asyncio.TaskGroup() as tasks:
            for i in range(CONNECTIONS * CLIENTS_PER_CONNECTION):
                channel = channels[i % CONNECTIONS]
                tasks.create_task(Client(load, f"{number}-{i}", channel).work())
            for kill in range(1, kills + 1):
                await load.reach(kill * BETWEEN_KILLS)
                await asyncio.to_thread(daemon.restart)
            await load.reach((kills + 1) * BETWEEN_KILLS)
            load.enough.set()
    finally:
        for channel in channels:
            await channel.close()
    return load


async def test_every_history_has_an_order(tmp_path: Path) -> None:
    answers: Counter[str] = Counter()
    with running(tmp_path) as daemon:
        for number in range(effort.effort(1)):
            load = await history(daemon, number, kills=2)
            for seen in load.seen.values():
                check(seen)
                answers.update(op.answer[0] if op.answer else "no answer" for op in seen)
    missing = ANSWERS - answers.keys()
    assert not missing or effort.factor() < 1, f"never occurred: {missing}; {answers}"
