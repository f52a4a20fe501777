"""The demo of hookd: three acts with real processes, each outcome checked.

Run it with ``make demo``. It starts a daemon on a temporary data directory,
and removes both at its end.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from hookd import Client, HookConflictError, HookNotFoundError, RunStatus, connect
from processes import Daemon, Shop
from stage import FailedError, Stage

PAYMENT = "payment-{}"


class Demo:
    """The daemon, the processes that were started, and the acts they play.

    Args:
        daemon: a daemon that serves.
        stage: where to say what happens.
        client: the demo's own connection, to check what the others did.
        stack: closes what was opened.
    """

    def __init__(self, daemon: Daemon, stage: Stage, client: Client, stack: AsyncExitStack) -> None:
        self._daemon = daemon
        self._stage = stage
        self._client = client
        self._stack = stack

    async def _open(self, name: str, role: str, order: int) -> Shop:
        shop = await Shop.open(name, role, order, self._daemon, self._stage)
        self._stack.push_async_callback(shop.close)
        return shop

    async def race(self) -> None:
        """Two processes claim one token at the same time."""
        stage = self._stage
        stage.act(
            "Act 1: two checkouts race for payment-42",
            "Two processes claim the same hook token at the same moment.",
        )
        shops = [await self._open("north", "racer", 42), await self._open("south", "racer", 42)]
        for shop in shops:
            await shop.fact("ready")
        stage.says("director", "north and south, go!")
        await stage.caught_up()
        for shop in shops:
            await shop.go()
        results = [await shop.fact("result") for shop in shops]
        winners = [shop for shop in shops if shop.knows("won")]
        losers = [shop for shop in shops if shop.knows("lost")]
        stage.check(len(winners) == 1 and len(losers) == 1, "the token had exactly one owner")
        lost = await losers[0].fact("lost")
        stage.check(
            lost == {"owner": await winners[0].fact("won"), "status": RunStatus.RUNNING},
            f"the loser, {losers[0].name}, was told who the owner is: {lost['owner']}",
        )
        stage.check(
            results[0]["paid"] == await losers[0].fact("forwarded"),
            "the owner got the payment that the loser forwarded",
        )
        stage.check(results[0] == results[1], "both saw the one result")
        stage.check([await shop.end() for shop in shops] == [0, 0], "both processes ended well")

    async def replace(self) -> None:
        """A process cancels an owner that hangs, and takes its token."""
        stage = self._stage
        await stage.caught_up()
        stage.act(
            "Act 2: a stuck owner is replaced",
            "The run that owned payment-42 has completed, so the token is free again.",
            "Its next owner hangs. Another process cancels it and takes over.",
        )
        west = await self._open("west", "stuck", 42)
        first = await west.fact("claimed")
        stage.check(True, "payment-42 could be claimed again at once")
        east = await self._open("east", "replacement", 42)
        second = await east.fact("claimed")
        reason = await west.fact("cancelled")
        stage.check(reason == "superseded by east", "the stuck process was told, and why")
        stage.check(
            await self._client.get_run("checkout-west").status() is RunStatus.CANCELLED,
            "its run is cancelled",
        )
        stage.check(
            second > first,
            f"the new claim has a greater revision: {second} after {first}",
        )
        stage.check([await east.end(), await west.end()] == [0, 0], "both processes ended well")
        try:
            await self._client.resume_hook(PAYMENT.format(42), None)
        except HookNotFoundError as error:
            stage.check(
                error.token == PAYMENT.format(42), "both runs have ended: the token is free"
            )
        else:
            stage.check(False, "the token is free")

    async def crash(self) -> None:
        """The daemon is killed while one process owns a token and another waits."""
        stage, daemon, client = self._stage, self._daemon, self._client
        await stage.caught_up()
        stage.act(
            "Act 3: the daemon is killed in the middle",
            "harbour owns payment-43 and is busy. airport pays, and waits for the result.",
        )
        harbour = await self._open("harbour", "busy", 43)
        revision = await harbour.fact("claimed")
        airport = await self._open("airport", "waiter", 43)
        first = await airport.fact("waiting")
        pids = harbour.pid, airport.pid
        await stage.caught_up()
        status = await daemon.kill()
        stage.says("director", "kill -9: the daemon is gone, without a chance to save anything")
        stage.check(status == -signal.SIGKILL, "the daemon died of SIGKILL")
        await harbour.go()
        await stage.caught_up()
        await asyncio.sleep(1)
        stage.check(
            harbour.alive and airport.alive and not airport.knows("result"),
            "harbour and airport are still there, and wait",
        )
        stage.says("director", "the daemon is started again, on the same data directory")
        await stage.caught_up()
        await daemon.start()

        hook = await (await client.get_hook_by_token(PAYMENT.format(43))).info()
        stage.check(
            (hook.run_id, hook.revision) == ("checkout-harbour", revision),
            f"the claim is there: payment-43 is still harbour's, revision {hook.revision}",
        )
        stage.check(hook.payload_count == 1, "the payment that was accepted is there")
        async with client.open_run("checkout", run_id="checkout-late") as late:
            try:
                await late.create_hook(token=PAYMENT.format(43))
            except HookConflictError as conflict:
                owner = conflict.conflicting_run_id
            else:
                owner = "nobody"
        stage.check(owner == "checkout-harbour", "a new claim loses, and is told the same owner")
        second = {"amount": 49, "from": "director", "last": True}
        stage.says("director", f"I send the second payment: {second}")
        await client.resume_hook(PAYMENT.format(43), second)
        paid = await harbour.fact("paid")
        stage.check(
            paid == [first, second],
            "harbour got both payments, in order: the one from before the crash, and the new one",
        )
        result = await airport.fact("result")
        stage.check(
            result["paid"] == paid and (harbour.pid, airport.pid) == pids,
            "airport's call just went on, and brought the result",
        )
        stage.check([await harbour.end(), await airport.end()] == [0, 0], "both ended well")


async def play(pace: float) -> None:
    """Plays all acts.

    Raises:
        FailedError: something came out otherwise than promised.
    """
    with tempfile.TemporaryDirectory(prefix="hookd-demo-") as folder:
        async with Stage(pace) as stage, AsyncExitStack() as stack:
            stage.act("hookd: a hook token has exactly one owner")
            daemon = await stack.enter_async_context(Daemon(Path(folder), stage))
            client = await stack.enter_async_context(connect(daemon.address, project="default"))
            demo = Demo(daemon, stage, client, stack)
            try:
                await demo.race()
                await demo.replace()
                await demo.crash()
            except Exception:
                stage.error(daemon.log())
                raise
            await stage.caught_up()
            stage.act("What you saw")
            stage.plain("hookd gives a piece of work one owner, and tells everybody who that is.")
            stage.plain("What it has acknowledged is on disk: a crash loses no claim, no payload.")
            stage.plain("Read on: README.md, docs/guarantees.md, docs/errors/hook-conflict.md")
            await stage.caught_up()


async def main() -> int:
    """The command line; gives the exit status."""
    parser = argparse.ArgumentParser(description="Plays the demo of hookd.")
    parser.add_argument(
        "--pace", type=float, default=0.25, metavar="SECONDS", help="rest after each line"
    )
    pace = parser.parse_args().pace
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await play(pace)
    except FailedError as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    except TimeoutError:
        print("The demo failed: something that was waited for did not come", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(asyncio.run(main()))
    sys.exit(130)
