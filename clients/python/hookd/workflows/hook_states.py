"""What the log tells about the hooks of a run."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hookd import validate
from hookd.durations import Seconds, seconds
from hookd.enums import HookStatus, RunStatus
from hookd.errors import HookClosedError, InvalidArgumentError
from hookd.payload import encode
from hookd.v1 import common_pb2, events_pb2, webhook_pb2
from hookd.v1 import worker_service_pb2 as pb
from hookd.workflows.conflicts import conflict_error
from hookd.workflows.times import wire_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookd.v1.errors_pb2 import HookConflict
    from hookd.v1.events_pb2 import Event
    from hookd.workflows.commands import Commands, Pending
    from hookd.workflows.loop import WorkflowLoop

_MOST_METADATA = 64 * 1024


@dataclass(slots=True, eq=False)
class HookState:
    """A hook: its payloads that nobody has taken, and who waits for them."""

    hook_id: str
    token: str = field(repr=False)
    metadata: common_pb2.Payload | None = None
    creation: Pending | None = None
    """The command that creates it; None when it came with the start of the run."""
    disposal: Pending | None = None
    revision: int | None = None
    conflict: HookConflict | None = None
    closed: HookStatus | None = None
    webhook: webhook_pb2.Webhook | None = None
    """What makes it reachable by a URL; None when it is not."""
    answered: set[int] = field(default_factory=set)
    """The payloads whose senders the code has answered, by their positions."""
    payloads: deque[events_pb2.HookReceived] = field(default_factory=deque)
    waiters: deque[asyncio.Future[None]] = field(default_factory=deque)

    async def take(self, run_id: str, loop: WorkflowLoop) -> events_pb2.HookReceived:
        """Waits for the next payload and takes it.

        It is taken only when the task that waits really goes on: who is
        cancelled before that leaves it to the next.

        Raises:
            HookConflictError: The hook has lost its token to another.
            HookClosedError: No more payloads can come.
        """
        while not self.payloads:
            if self.conflict is not None:
                raise conflict_error(self.conflict)
            if self.closed is not None:
                raise HookClosedError(run_id, self.hook_id, self.closed, RunStatus.RUNNING)
            waiter = loop.create_future()
            self.waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self.waiters:
                    self.waiters.remove(waiter)
                elif self.payloads:
                    # It was woken for one of them: now that is another's.
                    self.wake_next()
                raise
        return self.payloads.popleft()

    def receive(self, received: events_pb2.HookReceived) -> None:
        """Keeps a payload, and wakes who waits for one."""
        self.payloads.append(received)
        self.wake_next()

    def wake_next(self) -> None:
        """Wakes the first who waits."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def end(self) -> None:
        """Wakes all who wait: no more payloads come."""
        while self.waiters:
            self.wake_next()

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for a payload, or for there being none."""
        return any(not waiter.done() for waiter in self.waiters)


class HookStates:
    """The hooks of a run."""

    def __init__(self, commands: Commands, auto_token: Callable[[str], str]) -> None:
        self._commands = commands
        self._auto_token = auto_token
        self._states: dict[str, HookState] = {}
        self._claims: dict[str, HookState] = {}
        self._foreign_ids: set[str] = set()
        self._started = False

    def start(self) -> None:
        """Says that the code begins: what others create from now on is theirs."""
        self._started = True

    def create(
        self,
        token: str | None,
        metadata: object,
        ttl: Seconds | None,
        hold_after: Seconds | None,
        webhook: webhook_pb2.Webhook | None = None,
    ) -> HookState:
        """Claims a token, unless the start of the run has done that."""
        spec = _spec(token, metadata, ttl, hold_after)
        claimed = None if token is None else self._claims.pop(token, None)
        if claimed is not None:
            return claimed
        if webhook is not None:
            spec.webhook.CopyFrom(webhook)
        spec.hook_id = self._commands.next_id("hook")
        while spec.hook_id in self._foreign_ids:
            spec.hook_id = self._commands.next_id("hook")
        if token is None:
            spec.token = self._auto_token(spec.hook_id)
        state = HookState(
            spec.hook_id,
            spec.token,
            spec.metadata if metadata is not None else None,
            webhook=webhook,
        )
        state.creation = self._commands.give(
            pb.Command(create_hook=spec),
            spec.hook_id,
            spec.token,
            # A conflict is told to who waits for a payload; a turn with one goes on.
            on_echo=lambda event: self._created(state, event),
        )
        self._states[spec.hook_id] = state
        return state

    def dispose(self, state: HookState) -> Pending | None:
        """Gives a hook up; None when there is nothing to give up (any more)."""
        if state.disposal is not None or state.closed is not None or state.conflict is not None:
            return None
        state.disposal = self._commands.give(
            pb.Command(dispose_hook=pb.DisposeHookCommand(hook_id=state.hook_id)),
            state.hook_id,
            on_echo=self.disposed,
            # Payloads that the daemon took before that are still to come.
            awaited=lambda: state.awaited,
        )
        return state.disposal

    def respond(
        self, state: HookState, payload_seq: int, response: webhook_pb2.HttpResponse
    ) -> Pending:
        """Answers who has sent a payload, also when the hook is no more."""
        state.answered.add(payload_seq)
        command = pb.RespondWebhookCommand(
            hook_id=state.hook_id, payload_seq=payload_seq, response=response
        )
        return self._commands.give(
            pb.Command(respond_webhook=command), state.hook_id, str(payload_seq)
        )

    def _created(self, state: HookState, event: Event) -> None:
        if event.HasField("hook_conflict"):
            state.conflict = event.hook_conflict.conflict
            del self._states[state.hook_id]
            state.end()
        else:
            state.revision = event.hook_created.revision

    def created_outside(self, event: Event) -> None:
        """Takes the event that a hook of this run was created by somebody else."""
        hook_id, created = event.correlation_id, event.hook_created
        self._foreign_ids.add(hook_id)
        if not self._started:
            state = HookState(
                hook_id,
                created.token,
                created.metadata if created.HasField("metadata") else None,
                revision=created.revision,
                webhook=created.webhook if created.HasField("webhook") else None,
            )
            self._states[hook_id] = self._claims[created.token] = state

    def received(self, event: Event) -> None:
        """Takes the event that a payload has come."""
        state = self._states.get(event.correlation_id)
        if state is not None:
            state.receive(event.hook_received)

    def disposed(self, event: Event) -> None:
        """Takes the event that a hook is no more; those who wait empty it first."""
        state = self._states.pop(event.correlation_id, None)
        if state is None:
            return
        expired = event.hook_disposed.cause == events_pb2.DISPOSE_CAUSE_EXPIRED
        state.closed = HookStatus.EXPIRED if expired else HookStatus.DISPOSED
        state.end()

    def clear(self) -> None:
        """Forgets all hooks."""
        self._states.clear()
        self._claims.clear()


# What the daemon would refuse is refused here, where the code can catch it: the
# daemon could only refuse the whole turn.
def _spec(
    token: str | None, metadata: object, ttl: Seconds | None, hold_after: Seconds | None
) -> common_pb2.HookSpec:
    spec = common_pb2.HookSpec()
    if token is not None:
        spec.token = validate.token(token)
    if metadata is not None:
        payload = encode(metadata, "metadata")
        if len(payload.data) > _MOST_METADATA:
            raise InvalidArgumentError.of(
                "metadata", f"must be at most {_MOST_METADATA} bytes, has {len(payload.data)}"
            )
        spec.metadata.CopyFrom(payload)
    if ttl is not None:
        length = seconds(ttl, "ttl")
        if not length:
            raise InvalidArgumentError.of("ttl", "must be at least a millisecond")
        spec.ttl.CopyFrom(wire_duration(length))
    if hold_after is not None:
        spec.hold_after.CopyFrom(wire_duration(seconds(hold_after, "hold_after")))
    return spec
