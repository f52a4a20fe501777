"""The worker: executes the workflows and steps of a program."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any, Self

from hookd.client import connect
from hookd.durations import Seconds
from hookd.worker.catalog import Work, catalog_of
from hookd.worker.life import Life
from hookd.worker.settings import settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from hookd.client import Client


class Worker:
    """Executes workflows and steps for a daemon.

    It works while ``run`` is awaited, or in the background inside of an
    ``async with``. Any number of workers may serve the same work, in one
    process or in many.
    """

    def __init__(
        self,
        work: Work,
        *,
        client: Client | None = None,
        name: str | None = None,
        max_turns: int = 8,
        max_steps: int = 16,
        max_cached_runs: int = 1000,
        turn_timeout: Seconds = 60,
        step_grace: Seconds = 10,
    ) -> None:
        """Makes a worker; it does nothing yet.

        Args:
            work: What it serves: workflows, steps, and modules, whose
                workflows and steps are taken.
            client: How it reaches the daemon; when None, by the environment as
                ``connect`` does.
            name: For people; the machine and the process when None.
            max_turns: How many runs it goes on with at a time.
            max_steps: How many steps it executes at a time. Each synchronous
                one has a thread.
            max_cached_runs: How many runs it keeps in memory between their
                turns. A run that is not kept is replayed from its log.
            turn_timeout: A workflow that computes for so long without an
                await is failed. It is reported in the log before.
            step_grace: How long the steps under way may go on when it stops.
                What is not done then is handed to other workers.

        Raises:
            InvalidArgumentError: There is nothing to serve, two definitions
                have one name, or a setting is out of range.
        """
        self._catalog = catalog_of(work)
        self._settings = settings(
            name=name,
            max_turns=max_turns,
            max_steps=max_steps,
            max_cached_runs=max_cached_runs,
            turn_timeout=turn_timeout,
            step_grace=step_grace,
        )
        self._client = client
        self._stop: asyncio.Event | None = None
        self._background: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """What the worker is called."""
        return self._settings.name

    def __repr__(self) -> str:
        counts = f"workflows={len(self._catalog.workflows)} steps={len(self._catalog.steps)}"
        return f"<Worker name={self.name!r} {counts}>"

    async def run(self) -> None:
        """Works until it is stopped. The daemon may be away at any time.

        When the caller is cancelled, the steps under way are handed back at
        once; ``stop`` gives them time.

        Raises:
            HookdError: The daemon does not want this worker, because of its
                key for instance.
            InvalidArgumentError: An annotation of what it serves is unknown,
                or nothing can be carried as that type.
        """
        if self._stop is not None:
            raise RuntimeError("The worker runs already")
        self._stop = asyncio.Event()
        client = connect() if self._client is None else self._client
        try:
            self._catalog.check()
            await Life(client._transport, self._catalog, self._settings).run(self._stop)
        finally:
            self._stop = None
            if self._client is None:
                await client.close()

    def stop(self) -> None:
        """Begins to stop: nothing new is taken, and ``run`` ends when the rest is done.

        To be called in the event loop that it runs in.
        """
        if self._stop is not None:
            self._stop.set()

    async def __aenter__(self) -> Self:
        self._background = asyncio.get_running_loop().create_task(self.run())
        # Let it begin, so that it can be stopped; what is wrong with it shows at once.
        await asyncio.sleep(0)
        if self._background.done():
            self._background.result()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        background, self._background = self._background, None
        if background is not None:
            self.stop()
            try:
                await background
            except asyncio.CancelledError:
                background.cancel()
                raise


def worker_for(found: Any, client: Client, changes: Mapping[str, Any]) -> Worker:
    """Gives the worker that a command line asks for.

    Args:
        found: A worker, or what one would serve.
        client: How it reaches the daemon, unless it was made with a client.
        changes: The settings that the command line names.
    """
    if not isinstance(found, Worker):
        return Worker(found, client=client, **changes)
    kept = dataclasses.asdict(found._settings)
    return Worker(
        (*found._catalog.workflows.values(), *found._catalog.steps.values()),
        client=found._client or client,
        **{**kept, **changes},
    )
