"""Hooks, as workflow code has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload

from hookd.errors import HookClosedError
from hookd.payload import decode
from hookd.workflows.conflicts import conflict_error
from hookd.workflows.context import current
from hookd.workflows.errors import WorkflowRuleError
from hookd.workflows.owners import owner_of
from hookd.workflows.values import ValueType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator
    from types import TracebackType

    from hookd.durations import Seconds
    from hookd.errors import HookConflictError
    from hookd.run import Run
    from hookd.v1.events_pb2 import HookReceived
    from hookd.workflows.commands import Pending
    from hookd.workflows.hook_states import HookState
    from hookd.workflows.runtime import Runtime

T = TypeVar("T")


class WorkflowHook(Generic[T]):
    """A wait point of the run whose code has created it.

    ``await hook`` gives the next payload, ``async for payload in hook`` gives
    them all until no more can come, ``async with hook`` disposes the hook on
    the way out. A payload is given once. Payloads that come while nobody waits
    are kept in their order, and a wait that is cancelled, or loses a race,
    takes none. Made by ``create_hook``.
    """

    def __init__(
        self, runtime: Runtime, state: HookState, value_type: ValueType[T] | None = None
    ) -> None:
        self._runtime = runtime
        self._state = state
        self._type = value_type

    @property
    def run_id(self) -> str:
        """The run that the hook belongs to."""
        return self._runtime.run_id

    @property
    def hook_id(self) -> str:
        """The name of the hook in its run."""
        return self._state.hook_id

    @property
    def token(self) -> str:
        """The name by which the outside addresses the hook. Whoever has it may resume."""
        return self._state.token

    @property
    def metadata(self) -> Any:
        """What was attached, as it arrives elsewhere; None for nothing."""
        return None if self._state.metadata is None else decode(self._state.metadata)

    @property
    def revision(self) -> int | None:
        """The claim's fencing number: a later claim of the token has a greater one.

        None as long as nothing was awaited that tells how the claim went.
        """
        return self._state.revision

    def __await__(self) -> Generator[Any, None, T]:
        """Waits for the next payload.

        Raises:
            HookConflictError: The token belongs to another hook.
            HookClosedError: No more payloads can come.
            HookPayloadError: The payload is not of the declared type; the next
                wait gives the one after it.
        """
        self._check("await hook")
        return self._next().__await__()

    def __aiter__(self) -> AsyncIterator[T]:
        """Gives all payloads until no more can come.

        Raises:
            HookConflictError: The token belongs to another hook.
            HookPayloadError: A payload is not of the declared type; the loop
                can be entered again for those after it.
        """
        return _Payloads(self, self._state)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.dispose()

    async def get_conflict(self) -> Run | None:
        """Tells who owns the token, if this hook lost it to somebody.

        It takes no payload and gives the same answer every time.

        Returns:
            The run that owned the token when this hook claimed it, a handle
            that has its ``run_id``; None when this hook got it.
        """
        error = await self._lost("get_conflict()")
        return None if error is None else owner_of(self._runtime.project, error.conflicting_run_id)

    async def conflict_error(self) -> HookConflictError | None:
        """Tells what a wait would raise, with all facts about the owner.

        It takes no payload and gives the same answer every time.

        Returns:
            The error, not raised; None when this hook got the token.
        """
        return await self._lost("conflict_error()")

    async def _lost(self, call: str) -> HookConflictError | None:
        self._check(call)
        state = self._state
        if state.creation is not None:
            await self._runtime.echo_of(state.creation)
        return None if state.conflict is None else conflict_error(state.conflict)

    def dispose(self) -> Disposal:
        """Gives the token up, at once; payloads that came before can still be taken.

        Returns:
            What can be awaited, and need not be: whether the hook held its
            token until now.
        """
        self._check("dispose()")
        return Disposal(self._runtime, self._runtime.hooks.dispose(self._state))

    def __repr__(self) -> str:
        # Not the token: a repr ends up in logs.
        return f"<{type(self).__name__} hook_id={self.hook_id!r} run_id={self.run_id!r}>"

    async def _next(self) -> T:
        received = await self._state.take(self._runtime.run_id, self._runtime.loop)
        return self._value(received)

    def _value(self, received: HookReceived) -> T:
        payload = received.payload
        if self._type is None:
            return cast("T", decode(payload))
        return self._type.decode(payload, token=self._state.token)

    def _check(self, call: str) -> None:
        if current(call, "the hook is that of a workflow") is not self._runtime:
            raise WorkflowRuleError(
                f"The hook {self.hook_id} belongs to run {self.run_id}, or to an execution of it "
                "that is over, and this is another",
                call=call,
                hint="keep hooks in variables of the workflow function, not in global ones",
            )


class _Payloads(Generic[T]):
    """The payloads of a hook for an ``async for``.

    No async generator: one that is left before its end would be finalised.
    """

    def __init__(self, hook: WorkflowHook[T], state: HookState) -> None:
        self._hook = hook
        self._state = state

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self._hook
        except HookClosedError:
            raise StopAsyncIteration from None


class Disposal:
    """A hook is being given up. It can be awaited, and need not be."""

    def __init__(self, runtime: Runtime, pending: Pending | None) -> None:
        self._runtime = runtime
        self._pending = pending

    def __await__(self) -> Generator[Any, None, bool]:
        """Waits until it is done; gives whether the hook held its token until then."""
        return self._outcome().__await__()

    async def _outcome(self) -> bool:
        if self._pending is None:
            return False
        event = await self._runtime.echo_of(self._pending)
        return not event.hook_disposed.already_gone


@overload
def create_hook(
    token: str | None = None,
    *,
    metadata: Any = None,
    ttl: Seconds | None = None,
    hold_after: Seconds | None = None,
    type: None = None,
) -> WorkflowHook[Any]: ...
@overload
def create_hook(
    token: str | None = None,
    *,
    metadata: Any = None,
    ttl: Seconds | None = None,
    hold_after: Seconds | None = None,
    type: type[T],
) -> WorkflowHook[T]: ...
@overload
def create_hook(
    token: str | None = None,
    *,
    metadata: Any = None,
    ttl: Seconds | None = None,
    hold_after: Seconds | None = None,
    type: Any,
) -> WorkflowHook[Any]: ...
def create_hook(
    token: str | None = None,
    *,
    metadata: Any = None,
    ttl: Seconds | None = None,
    hold_after: Seconds | None = None,
    type: Any = None,
) -> WorkflowHook[Any]:
    """Creates a hook: claims its token for this run.

    Only in the code of a workflow. The call itself never waits; who has lost
    the token is told by the first wait, or by ``await hook.get_conflict()``.

    Args:
        token: Any text; one that nobody guesses when None. A token that the
            start of this run has claimed gives the hook that has it.
        metadata: Any value, for whoever looks the hook up.
        ttl: The hook disposes itself after this time: seconds, a timedelta, or
            text as "1h30m".
        hold_after: The token stays taken for this long after the run's end.
        type: What the payloads are; plain JSON values when None.

    Raises:
        InvalidArgumentError: An argument is wrong.
        OutsideWorkflowError: No workflow's code is running here.
    """
    return open_hook(token, metadata, ttl, hold_after, None if type is None else ValueType(type))


def open_hook(
    token: str | None,
    metadata: object,
    ttl: Seconds | None,
    hold_after: Seconds | None,
    value_type: ValueType[T] | None,
) -> WorkflowHook[T]:
    """Creates a hook for the run whose code is running here."""
    runtime = current("create_hook()", "elsewhere there is run.create_hook()")
    state = runtime.hooks.create(token, metadata, ttl, hold_after)
    return WorkflowHook(runtime, state, value_type)
