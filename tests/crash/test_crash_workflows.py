"""200 runs of a saga, while workers and the daemon are killed: every run ends right."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path

import hookd
import pytest
from hookd import Client, HookClaim, HookSpec, RunStatus

from tests.crash import saga as code
from tests.support.daemon import Daemon, running
from tests.support.worker import WorkerProcess

RUNS = 200
AT_ONCE = 25
WORKERS = 3
#: However fast the machine is: so often they are killed at least.
WORKER_KILLS = 10
DAEMON_KILLS = 3
SEED = 20261
#: Whoever waits longer for a run than this has found one that is stuck.
PATIENCE = 90.0


class Place:
    """A daemon and its workers, which are killed at moments by the dice."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon = daemon
        self.executions = folder / "executions.jsonl"
        self.executions.touch()
        self.folder = folder
        self.kills: Counter[str] = Counter()
        self.enough = False
        self.workers = [self._worker() for _ in range(WORKERS)]

    def _worker(self) -> WorkerProcess:
        worker = WorkerProcess(
            self.daemon.address,
            self.folder,
            "tests.crash.saga",
            env={code.EXECUTIONS: str(self.executions)},
        )
        worker.start()
        return worker

    async def kill_by_the_dice(self, dice: random.Random) -> None:
        """Kills one process after the other, each at once replaced, until it is enough."""
        while not self.enough:
            await asyncio.sleep(dice.uniform(0.05, 0.4))
            if dice.random() < 0.25:
                await asyncio.to_thread(self.daemon.restart)
                self.kills["daemon"] += 1
            else:
                number = dice.randrange(WORKERS)
                await asyncio.to_thread(self.workers[number].kill)
                self.workers[number] = await asyncio.to_thread(self._worker)
                self.kills["worker"] += 1

    @property
    def was_hard(self) -> bool:
        """Whether enough was killed for this to be a proof of anything."""
        return self.kills["worker"] >= WORKER_KILLS and self.kills["daemon"] >= DAEMON_KILLS

    def close(self) -> None:
        """Ends all workers."""
        for worker in self.workers:
            worker.kill()


@pytest.mark.long
async def test_sagas_end_right_though_workers_and_daemon_are_killed(tmp_path: Path) -> None:
    with running(tmp_path, "--worker-lease=1s") as daemon:
        place = Place(daemon, tmp_path)
        try:
            async with hookd.connect(daemon.address, timeout=60) as client:
                killer = asyncio.create_task(place.kill_by_the_dice(random.Random(SEED)))
                results: list[dict[str, object]] = []
                try:
                    async with asyncio.timeout(PATIENCE):
                        while not results or not place.was_hard:
                            results += await some_orders(client, len(results))
                finally:
                    place.enough = True
                    await killer
                check_results(results)
                await check_logs(client, place, len(results))
                await check_free(client, len(results))
        finally:
            place.close()


async def some_orders(client: Client, first: int) -> list[dict[str, object]]:
    """Runs a wave of sagas, some of them at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(order: int) -> dict[str, object]:
        async with room:
            return await order_and_approve(client, order)

    return await asyncio.gather(*(one(order) for order in range(first, first + RUNS)))


async def order_and_approve(client: Client, order: int) -> dict[str, object]:
    run = await client.start(code.saga, order, run_id=f"saga-{order}")
    await approve(client, order)
    value: dict[str, object] = await run.return_value()
    return value


async def approve(client: Client, order: int) -> None:
    """Delivers the approval, whenever the hook comes to be."""
    token, payload_id = code.token_of(order), f"approval-{order}"
    while True:
        try:
            await client.resume_hook(token, {"by": order}, payload_id=payload_id, wait=60)
        except (hookd.UnavailableError, hookd.DeadlineExceededError):
            continue
        return


def check_results(results: list[dict[str, object]]) -> None:
    for order, result in enumerate(results):
        done, undone = result["done"], result.get("undone", {})
        assert isinstance(done, dict)
        assert isinstance(undone, dict)
        if code.fails_for_good(order):
            assert result["ok"] is False
            assert result["why"] == "out of stock"
            assert list(done) == ["reserve", "charge"]
            assert list(undone) == ["charge", "reserve"]
        else:
            assert result["ok"] is True
            assert result["approval"] == {"by": order}
            assert list(done) == ["reserve", "charge", "ship"]


async def check_logs(client: Client, place: Place, count: int) -> None:
    """Each step has one result in the log, it is one that was executed, and the run used it."""
    executed: dict[str, tuple[str, str]] = {}
    for line in place.executions.read_text().splitlines():
        note = json.loads(line)
        executed[note["nonce"]] = (note["run_id"], note["step_id"])
    for order in range(count):
        run = client.get_run(f"saga-{order}")
        info = await run.info()
        assert info.status is RunStatus.COMPLETED
        scheduled: list[str] = []
        ended: list[str] = []
        recorded: list[str] = []
        async for event in run.events():
            if event.type == "step_scheduled":
                scheduled.append(event.correlation_id)
            elif event.type in ("step_completed", "step_failed"):
                ended.append(event.correlation_id)
                if event.type == "step_completed":
                    nonce = event.data["output"]
                    assert executed[nonce] == (run.run_id, event.correlation_id)
                    recorded.append(nonce)
        assert sorted(scheduled) == sorted(ended)
        assert len(set(scheduled)) == len(scheduled)
        used = [*info.output["done"].values(), *info.output.get("undone", {}).values()]
        assert used == recorded


async def check_free(client: Client, count: int) -> None:
    """No token is taken, nothing waits for a worker, and every token can be claimed."""
    assert [hook.token async for hook in client.list_hooks()] == []
    assert [(q.name, q.length) for q in await client.list_queues() if q.length] == []
    async with client.open_run("afterwards") as run:
        claims = [
            HookClaim(run.run_id, HookSpec(token=code.token_of(order))) for order in range(count)
        ]
        for outcome in await client.create_hooks(claims):
            assert isinstance(outcome, hookd.Hook)
