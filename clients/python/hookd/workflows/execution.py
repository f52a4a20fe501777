"""One execution of the code of a run: what a worker has in hand."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from hookd.workflows.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookd.v1.events_pb2 import Event
    from hookd.v1.worker_service_pb2 import Command
    from hookd.workflows.definition import Workflow


class Execution:
    """Feeds the log of a run to its code, and tells what the code wants done.

    Whatever happens to it, also when it is only forgotten, the code that is
    suspended in it is dropped and not run to its end: no ``finally`` and no
    ``async with`` of it is left in a process that merely puts the run aside.
    """

    # The code and all that it can reach know the runtime, and nothing knows
    # this object: so it dies when its user drops it, and not with the rest as
    # one garbage, in which the collector would end the coroutines first.
    def __init__(
        self, workflow: Workflow[..., Any], *, run_id: str, project: str, seed: bytes
    ) -> None:
        self._runtime = Runtime(workflow, run_id=run_id, project=project, seed=seed)
        self.workflow = workflow
        self.run_id = run_id
        self.project = project
        weakref.finalize(self, self._runtime.discard)

    @property
    def seen_seq(self) -> int:
        """The position of the last event that was fed; 0 at first."""
        return self._runtime.seen_seq

    @property
    def finished(self) -> bool:
        """Whether the code has returned or raised, or the run was ended from outside."""
        return self._runtime.finished

    @property
    def discarded(self) -> bool:
        """Whether it was thrown away."""
        return self._runtime.discarded

    @property
    def awaits_claims(self) -> bool:
        """Whether the code can go on when it has the events of ``commands()``.

        It waits for the outcome of one of them: a claim (also when it waits for
        a payload, because a conflict is told there), a dispose, the start of a
        child.
        """
        return self._runtime.commands.awaited

    @property
    def forgotten_tasks(self) -> list[str]:
        """The tasks that were not done when the function returned: names and places."""
        return list(self._runtime.forgotten_tasks)

    def feed(self, events: Iterable[Event]) -> None:
        """Feeds events in the order of the log; the code goes on after each.

        Those that were fed before are skipped. Any thread may call it, one at
        a time.

        Raises:
            NonDeterminismError: The code does not do what the log says. The
                execution is of no use any more.
            ValueError: An event is missing.
            RuntimeError: The execution was discarded.
        """
        runtime = self._runtime
        for event in events:
            if event.seq <= runtime.seen_seq:
                continue
            if event.seq != runtime.seen_seq + 1:
                raise ValueError(
                    f"event {event.seq} of run {self.run_id} does not follow {runtime.seen_seq}"
                )
            if runtime.discarded:
                raise RuntimeError(f"this execution of run {self.run_id} was discarded")
            runtime.feed(event)

    def commands(self) -> list[Command]:
        """Gives what the code wants done and the log does not have yet, in order."""
        return [pending.command for pending in self._runtime.commands.all()]

    def take_warnings(self) -> list[str]:
        """Gives what went wrong in the code and nobody handled, since the last time."""
        return self._runtime.take_warnings()

    def stack(self) -> str:
        """Gives where the code stands; any thread may ask, also while it runs."""
        return self._runtime.stack()

    def discard(self) -> None:
        """Throws it away without running any more of its code."""
        self._runtime.discard()

    def __repr__(self) -> str:
        return f"<Execution run_id={self.run_id!r} seen_seq={self.seen_seq}>"
