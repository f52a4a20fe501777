"""One life of a worker: from its first poll until it has handed back what it held."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING

from hookd.v1 import worker_service_pb2 as pb
from hookd.worker.link import Link
from hookd.worker.memory import Memory
from hookd.worker.polling import Poller
from hookd.worker.pulse import Pulse
from hookd.worker.steps import Steps
from hookd.worker.threads import Threads
from hookd.worker.turns import Turns
from hookd.worker.watch import TurnWatch
from hookd.workflows import guards

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookd.transport import Transport
    from hookd.worker.catalog import Catalog
    from hookd.worker.settings import Settings

_log = logging.getLogger("hookd.worker")

# How long telling the daemon may take when there is no more time.
_FAREWELL = 2.0


class Life:
    """One life of a worker. To be made and run in one event loop."""

    def __init__(self, transport: Transport, catalog: Catalog, settings: Settings) -> None:
        self._catalog = catalog
        self._settings = settings
        link = self._link = Link(transport, secrets.token_hex(16))
        self._turn_threads = Threads(settings.max_turns, "hookd-turn")
        self._step_threads = Threads(settings.max_steps, "hookd-step")
        self._watch = TurnWatch(self._turn_threads, settings.turn_timeout)
        self._memory = Memory(settings.max_cached_runs)
        self._steps = Steps(link, catalog, self._step_threads, settings.max_steps)
        self._turns = Turns(link, catalog, self._watch, self._steps, self._memory)
        self._steps.is_warm = self._turns.is_warm
        self._steps.take_turn = self._turns.take
        request = _poll_request(link, catalog, settings)
        self._poller = Poller(link, request, self._turns, self._steps)

    async def run(self, stop: asyncio.Event) -> None:
        """Works until ``stop`` is set or the caller is cancelled.

        Raises:
            HookdError: The daemon does not want this worker.
        """
        guards.install()
        self._introduce()
        loop = asyncio.get_running_loop()
        pulse = Pulse(self._link, lambda: self._poller.pause, lambda: self._steps.held)
        polling = loop.create_task(self._poller.run())
        beating = loop.create_task(self._poller.keep_leases())
        stopping = loop.create_task(stop.wait())
        grace = 0.0
        try:
            await asyncio.wait((polling, stopping), return_when=asyncio.FIRST_COMPLETED)
            if polling.done():
                polling.result()
            grace = self._settings.step_grace
        finally:
            stopping.cancel()
            self._poller.stop()
            await _cancelled((polling,))
            try:
                await self._wind_down(grace)
            finally:
                await _cancelled((beating,))
                pulse.close()
                self._close()

    def _introduce(self) -> None:
        """Logs what the worker serves, and what looks wrong about it."""
        for kind, names in (
            ("workflow", self._catalog.workflows),
            ("step", self._catalog.steps),
        ):
            if names:
                plural = kind + "s" * (len(names) > 1)
                _log.info("Serves the %s %s", plural, ", ".join(sorted(names)))
        for workflow in self._catalog.workflows.values():
            for warning in guards.warnings_for(workflow.function):
                _log.warning('workflow "%s": %s', workflow.workflow_name, warning)

    async def _wind_down(self, grace: float) -> None:
        """Finishes what can be finished in time, and hands the rest back."""
        self._steps.stopping = True
        work = [*self._turns.tasks, *self._steps.tasks]
        if work and grace:
            _log.info("Stopping; turns and steps still under way: %d", len(work))
            await self._finished(grace)
        self._turns.close()
        self._steps.hand_back()
        if self._turns.tasks:
            await asyncio.wait(self._turns.tasks)
        if self._steps.tasks:
            await asyncio.wait(self._steps.tasks, timeout=_FAREWELL)
        await _cancelled(self._steps.tasks, timeout=_FAREWELL)

    async def _finished(self, grace: float) -> None:
        """Waits until nothing is under way; a turn that ends may have begun a step."""
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        while (work := [*self._turns.tasks, *self._steps.tasks]) and loop.time() < end:
            await asyncio.wait(work, timeout=end - loop.time())

    def _close(self) -> None:
        self._watch.close()
        self._memory.clear()
        self._turn_threads.close()
        self._step_threads.close()


def _poll_request(link: Link, catalog: Catalog, settings: Settings) -> pb.PollRequest:
    return pb.PollRequest(
        project=link.project,
        worker_id=link.worker_id,
        name=settings.name,
        workflows=[
            pb.ServedWorkflow(name=name, version=workflow.version)
            for name, workflow in catalog.workflows.items()
        ],
        steps=list(catalog.steps),
        max_turns=settings.max_turns,
        max_steps=settings.max_steps,
    )


async def _cancelled(tasks: Iterable[asyncio.Task[None]], timeout: float | None = None) -> None:
    """Cancels tasks, and waits until they are done."""
    waited = [task for task in tasks if not task.done()]
    for task in waited:
        task.cancel()
    if waited:
        await asyncio.wait(waited, timeout=timeout)
