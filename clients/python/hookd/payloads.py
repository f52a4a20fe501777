"""Receives the payloads of a hook, each once, however often a wait is given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hookd.convert import hook_status, received_payload, run_status
from hookd.errors import ClientClosedError, HookClosedError
from hookd.follow import Follower
from hookd.payload import decode
from hookd.v1 import hook_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookd.models import ReceivedPayload
    from hookd.transport import Transport


class PayloadReader:
    """A position among the payloads of a hook, and the way to the next one.

    The read that goes on is a task of its own: a waiter that is cancelled
    leaves it alone, and the next waiter takes what it brings.

    Args:
        transport: The way to the daemon.
        run_id: The hook's run.
        hook_id: The hook.
        after: Begin after the payload with this ``payload_seq``.
        value_of: What a payload says to who reads it.
    """

    def __init__(
        self,
        transport: Transport,
        run_id: str,
        hook_id: str,
        after: int = 0,
        value_of: Callable[[pb.ReceivedPayload], Any] = lambda wire: decode(wire.payload),
    ) -> None:
        self._reading: asyncio.Task[ReceivedPayload | HookClosedError] | None = None
        self._closed: HookClosedError | None = None
        self._source = _Source(transport, run_id, hook_id, after, value_of)

    @property
    def closed(self) -> HookClosedError | None:
        """Why no more payloads come; None as long as they may."""
        return self._closed

    async def next(self) -> ReceivedPayload | None:
        """Gives the next payload, or None when no more can come."""
        while self._closed is None:
            if self._reading is None:
                self._reading = asyncio.ensure_future(self._source.read())
                self._reading.add_done_callback(_note)
            reading = self._reading
            await asyncio.wait([reading])
            if self._reading is not reading:
                continue  # Another waiter of this hook took what it brought.
            # From here on nothing waits: what was taken reaches the caller.
            self._reading = None
            if reading.cancelled():
                raise ClientClosedError("The client was closed")
            item = reading.result()
            if isinstance(item, HookClosedError):
                self._closed = item
                break
            return item
        return None

    def close(self) -> None:
        """Stops reading. A later wait begins after the last payload that was given."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        self._source.close()

    def __del__(self) -> None:
        reading = self._reading
        if reading is not None and not reading.get_loop().is_closed():
            # The collector may run in any thread.
            reading.get_loop().call_soon_threadsafe(reading.cancel)


def _note(reading: asyncio.Task[ReceivedPayload | HookClosedError]) -> None:
    """Says that an error is known: if the next waiter never comes, nobody has missed it."""
    if not reading.cancelled():
        reading.exception()


class _Source:
    """The stream of a hook's payloads. It knows no reader, so that a reader can be forgotten."""

    def __init__(
        self,
        transport: Transport,
        run_id: str,
        hook_id: str,
        after: int,
        value_of: Callable[[pb.ReceivedPayload], Any],
    ) -> None:
        self._value_of = value_of
        self._project = transport.project
        self._run_id = run_id
        self._hook_id = hook_id
        self._after = after
        self._follower = Follower(transport, transport.hooks.ReceivePayloads, self._request)

    def _request(self) -> pb.ReceivePayloadsRequest:
        return pb.ReceivePayloadsRequest(
            project=self._project,
            ref=pb.HookRef(run_id=self._run_id, hook_id=self._hook_id),
            after_payload_seq=self._after,
        )

    def close(self) -> None:
        self._follower.close()

    async def read(self) -> ReceivedPayload | HookClosedError:
        while True:
            message = await self._follower.read()
            match message.WhichOneof("item") if message is not None else None:
                case "payload" if message is not None:
                    self._after = message.payload.payload_seq
                    return received_payload(message.payload, self._value_of(message.payload))
                case "closed" if message is not None:
                    return HookClosedError(
                        self._run_id,
                        self._hook_id,
                        hook_status(message.closed.status),
                        run_status(message.closed.run_status),
                    )
                case _:
                    await self._follower.reopen()
