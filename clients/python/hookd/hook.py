"""The handle of a hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from hookd import validate
from hookd.convert import hook_info
from hookd.enums import HookStatus
from hookd.errors import HookClosedError, HookdError, RunNotFoundError
from hookd.models import HookConflict
from hookd.payloads import PayloadReader
from hookd.v1 import hook_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator
    from types import TracebackType

    from hookd.models import HookInfo, ReceivedPayload
    from hookd.run import Run
    from hookd.transport import Transport


class Hook:
    """A wait point of a run, addressed from outside by its token.

    ``await hook`` gives the next payload, ``async for payload in hook`` gives
    them all until no more can come, ``async with hook`` disposes the hook on
    the way out. All waits of one handle share one position: a payload is
    given once, and a wait that is cancelled, or loses a race, takes none. A
    new handle of the same hook begins with the first payload again.

    Handles come from ``run.create_hook``, ``run.hook``,
    ``client.get_hook_by_token`` and the like.
    """

    def __init__(
        self,
        transport: Transport,
        run: Run,
        *,
        hook_id: str,
        token: str,
        metadata: Any = None,
        revision: int = 0,
        url: str = "",
    ) -> None:
        self._transport = transport
        self._run = run
        self._hook_id = hook_id
        self._token = token
        self._metadata = metadata
        self._revision = revision
        self._url = url
        self._reader: PayloadReader | None = None

    @property
    def run(self) -> Run:
        """The run that the hook belongs to."""
        return self._run

    @property
    def hook_id(self) -> str:
        """The name of the hook in its run."""
        return self._hook_id

    @property
    def token(self) -> str:
        """The name by which the outside addresses the hook. Whoever has it may resume."""
        return self._token

    @property
    def metadata(self) -> Any:
        """What the creator attached; None for nothing."""
        return self._metadata

    @property
    def revision(self) -> int:
        """The claim's fencing number: a later claim of the token has a greater one."""
        return self._revision

    @property
    def url(self) -> str:
        """Where requests to the hook are sent, as secret as the token; empty for no webhook."""
        return self._url

    def __await__(self) -> Generator[Any, None, Any]:
        """Waits for the next payload.

        Raises:
            HookClosedError: No more payloads can come.
        """
        return self._receive().__await__()

    def __aiter__(self) -> AsyncIterator[Any]:
        """Gives all payloads until no more can come."""
        return self._iterate()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.dispose()
        except RunNotFoundError:
            pass  # Not even its run is there any more.
        except HookdError as refused:
            if error is None:
                raise
            error.add_note(f"Its hook {self._hook_id} could not be disposed either: {refused}")

    async def payloads(self, after: int = 0) -> AsyncIterator[ReceivedPayload]:
        """Gives all payloads with what is known about them, until no more can come.

        It has a position of its own, and takes nothing from the other waits.

        Args:
            after: Begin after the payload with this ``payload_seq``.
        """
        after = validate.position(after, "after")
        reader = self._new_reader(after)
        try:
            while (item := await reader.next()) is not None:
                yield item
        finally:
            reader.close()

    async def dispose(self) -> bool:
        """Gives the token up; payloads that came before can still be read.

        Returns:
            Whether the hook held its token until now.
        """
        response = await self._transport.call(
            self._transport.hooks.DisposeHook,
            pb.DisposeHookRequest(project=self._transport.project, ref=self._ref()),
        )
        return not response.already_disposed

    async def info(self) -> HookInfo:
        """Asks how the hook stands."""
        response = await self._transport.call(
            self._transport.hooks.GetHook,
            pb.GetHookRequest(project=self._transport.project, ref=self._ref()),
        )
        return hook_info(response.hook)

    async def get_conflict(self) -> Run | None:
        """Tells who owns the token, if this hook lost it to somebody.

        It consumes no payload and gives the same answer every time.

        Returns:
            The run that owned the token when this hook claimed it; None when
            this hook got it.
        """
        if self._revision or (await self.info()).status is not HookStatus.CONFLICTED:
            return None
        async for event in self._run.events():
            if event.type == "hook_conflict" and event.correlation_id == self._hook_id:
                owner = event.data.get("conflict")
                if isinstance(owner, HookConflict):
                    return type(self._run)(self._transport, owner.run_id)
        return None

    def __repr__(self) -> str:
        # Not the token: a repr ends up in logs.
        return f"<Hook hook_id={self._hook_id!r} run_id={self._run.run_id!r}>"

    def _ref(self) -> pb.HookRef:
        return pb.HookRef(run_id=self._run.run_id, hook_id=self._hook_id)

    def _own_reader(self) -> PayloadReader:
        if self._reader is None:
            self._reader = self._new_reader()
        return self._reader

    def _new_reader(self, after: int = 0) -> PayloadReader:
        return PayloadReader(self._transport, self._run.run_id, self._hook_id, after)

    async def _receive(self) -> Any:
        reader = self._own_reader()
        item = await reader.next()
        if item is not None:
            return item.value
        closed = reader.closed
        if closed is None:
            raise RuntimeError("a reader ended without saying why")
        # A new error for each wait: one object would collect all their traces.
        raise HookClosedError(closed.run_id, closed.hook_id, closed.status, closed.run_status)

    async def _iterate(self) -> AsyncIterator[Any]:
        reader = self._own_reader()
        while (item := await reader.next()) is not None:
            yield item.value
