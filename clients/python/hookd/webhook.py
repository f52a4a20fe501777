"""The handle of a hook that is reached by a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookd.errors import InvalidArgumentError
from hookd.hook import Hook
from hookd.payloads import PayloadReader
from hookd.v1 import hook_service_pb2 as pb
from hookd.webhook_request import WebhookRequest, request_of
from hookd.webhook_response import wire_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Generator

    from hookd.run import Run
    from hookd.transport import Transport
    from hookd.v1 import webhook_pb2
    from hookd.webhook_response import HeadersToSend


class Webhook(Hook):
    """A hook that HTTP requests to its ``url`` resume.

    It is a hook in all other respects, and its payloads are ``WebhookRequest``.
    Of one that was made with ``respond_with="manual"``, each must be answered:
    ``await request.respond(…)``.
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
        webhook: webhook_pb2.Webhook,
    ) -> None:
        super().__init__(
            transport,
            run,
            hook_id=hook_id,
            token=token,
            metadata=metadata,
            revision=revision,
            url=url,
        )
        self._manual = webhook.HasField("manual")

    def __await__(self) -> Generator[Any, None, WebhookRequest]:
        """Waits for the next request.

        Raises:
            HookClosedError: No more requests can come.
        """
        return super().__await__()

    def __aiter__(self) -> AsyncIterator[WebhookRequest]:
        """Gives all requests until no more can come."""
        return super().__aiter__()

    def __repr__(self) -> str:
        # Not the URL: a repr ends up in logs.
        return f"<Webhook hook_id={self.hook_id!r} run_id={self.run.run_id!r}>"

    def _new_reader(self, after: int = 0) -> PayloadReader:
        # Of this handle a reader must know nothing, or neither could be forgotten.
        transport, ref, manual = self._transport, self._ref(), self._manual

        def request(wire: pb.ReceivedPayload) -> WebhookRequest:
            answering = _Answering(transport, ref, wire.payload_seq, manual=manual)
            return request_of(wire.payload, answering)

        return PayloadReader(
            transport, self.run.run_id, self.hook_id, after=after, value_of=request
        )


class _Answering:
    """The way back to who has sent a request, for who drives the run from outside."""

    def __init__(
        self, transport: Transport, ref: pb.HookRef, payload_seq: int, *, manual: bool
    ) -> None:
        self._transport = transport
        self._ref = ref
        self._payload_seq = payload_seq
        self._manual = manual

    def __call__(self, status: int, headers: HeadersToSend | None, body: Any) -> Awaitable[bool]:
        if not self._manual:
            raise InvalidArgumentError.of(
                "respond()",
                "the sender was answered when the request came: "
                'to answer it here, create the webhook with respond_with="manual"',
            )
        return self._send(wire_response(status, headers, body))

    async def _send(self, response: webhook_pb2.HttpResponse) -> bool:
        answer = await self._transport.call(
            self._transport.hooks.RespondWebhook,
            pb.RespondWebhookRequest(
                project=self._transport.project,
                ref=self._ref,
                payload_seq=self._payload_seq,
                response=response,
            ),
        )
        return not answer.already_answered
