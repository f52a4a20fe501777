"""Webhooks, as workflow code has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookd import validate
from hookd.requests import check_segment
from hookd.webhook_request import WebhookRequest, request_of
from hookd.webhook_response import wire_response, wire_webhook
from hookd.webhook_url import webhook_url
from hookd.workflows.context import current
from hookd.workflows.errors import WorkflowRuleError
from hookd.workflows.hooks import WorkflowHook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

    from hookd.durations import Seconds
    from hookd.v1.events_pb2 import HookReceived
    from hookd.verify import Verification
    from hookd.webhook_response import HeadersToSend, RespondWith
    from hookd.workflows.commands import Pending
    from hookd.workflows.hook_states import HookState
    from hookd.workflows.runtime import Runtime


class WorkflowWebhook(WorkflowHook[WebhookRequest]):
    """A hook that HTTP requests to its ``url`` resume. Made by ``create_webhook``.

    It is a hook in all other respects, and its payloads are ``WebhookRequest``.
    """

    @property
    def url(self) -> str:
        """Where requests are sent, known at once. Whoever has it may resume, unless ``verify``."""
        runtime = self._runtime
        return webhook_url(runtime.webhook_base_url, runtime.project, self.token)

    def _value(self, received: HookReceived) -> WebhookRequest:
        answering = _Answering(self._runtime, self._state, received.payload_seq)
        return request_of(received.payload, answering)


class _Answering:
    """The way back to who has sent a request."""

    def __init__(self, runtime: Runtime, state: HookState, payload_seq: int) -> None:
        self._runtime = runtime
        self._state = state
        self._payload_seq = payload_seq

    def __call__(self, status: int, headers: HeadersToSend | None, body: Any) -> Awaitable[bool]:
        call = "respond()"
        self._runtime.check_here(call)
        webhook = self._state.webhook
        if webhook is None or not webhook.HasField("manual"):
            raise WorkflowRuleError(
                f"The sender of request {self._payload_seq} of {self._state.hook_id} "
                "was answered when it came",
                call=call,
                hint='to answer here, create the webhook with respond_with="manual"',
            )
        if self._payload_seq in self._state.answered:
            raise WorkflowRuleError(
                f"Request {self._payload_seq} of {self._state.hook_id} was answered before",
                call=call,
                hint="answer each request once",
            )
        response = wire_response(status, headers, body)
        return _Answer(
            self._runtime,
            self._runtime.hooks.respond(self._state, self._payload_seq, response),
        )


class _Answer:
    """A request is being answered. It can be awaited, and need not be."""

    def __init__(self, runtime: Runtime, pending: Pending) -> None:
        self._runtime = runtime
        self._pending = pending

    def __await__(self) -> Generator[Any, None, bool]:
        """Waits until the daemon has it; gives whether this has answered the request."""
        return self._outcome().__await__()

    async def _outcome(self) -> bool:
        event = await self._runtime.echo_of(self._pending)
        return not event.webhook_responded.already_answered


def create_webhook(
    token: str | None = None,
    *,
    respond_with: RespondWith = None,
    verify: Verification | None = None,
    metadata: Any = None,
    ttl: Seconds | None = None,
    hold_after: Seconds | None = None,
) -> WorkflowWebhook:
    """Creates a hook that HTTP requests to its ``url`` resume.

    Only in the code of a workflow. Its payloads are ``WebhookRequest``; all
    else is as for ``create_hook``.

    Args:
        token: Any text: the URL is made of it, and is the same each time. One
            that nobody guesses when None.
        respond_with: What a sender is answered: 202 and nothing else when
            None, what a ``WebhookResponse`` says, or what the code says to each
            request with ``request.respond(…)`` ("manual", or a ``Manual``).
        verify: Refuse requests that are not signed so; made by ``hookd.verify``.
        metadata: Any value, for whoever looks the hook up.
        ttl: The hook disposes itself after this time.
        hold_after: The token stays taken for this long after the run's end.

    Raises:
        InvalidArgumentError: An argument is wrong.
        WorkflowRuleError: The daemon serves no HTTP; or the start of the run
            has claimed the token, and not with a ``WebhookSpec``.
        OutsideWorkflowError: No workflow's code is running here.
    """
    call = "create_webhook()"
    runtime = current(call, "elsewhere there is run.create_webhook()")
    if token is not None:
        check_segment(validate.token(token))
    webhook = wire_webhook(respond_with, verify)
    if not runtime.webhook_base_url:
        raise WorkflowRuleError(
            f"The daemon served no HTTP when run {runtime.run_id} was started, "
            "so its webhooks have no URL",
            call=call,
            hint="start the daemon with --http HOST:PORT",
        )
    state = runtime.hooks.create(token, metadata, ttl, hold_after, webhook)
    if state.webhook is None:
        raise WorkflowRuleError(
            f"The start of run {runtime.run_id} has claimed the token for a hook without a URL",
            call=call,
            hint="claim it with a hookd.WebhookSpec",
        )
    return WorkflowWebhook(runtime, state)
