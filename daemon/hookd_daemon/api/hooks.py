"""``hookd.v1.HookService``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from hookd.v1 import hook_service_pb2 as pb
from hookd.v1.common_pb2 import HOOK_STATUS_ACTIVE, Hook
from hookd.v1.events_pb2 import Event
from hookd.webhook_rules import MAX_BODY_BYTES

from hookd_daemon.api import messages, paging, validate, webhooks
from hookd_daemon.api.backend import Backend, Patience, random_text
from hookd_daemon.api.context import CallContext
from hookd_daemon.api.specs import hook_spec
from hookd_daemon.api.status import fill_error
from hookd_daemon.core import delivery, lookup, topics
from hookd_daemon.core.hooks import (
    Claimed,
    HookSpec,
    Outcome,
    create_hooks,
)
from hookd_daemon.core.lookup import HookView
from hookd_daemon.core.webhooks import respond_webhook
from hookd_daemon.errors import (
    HookConflictError,
    HookdError,
    HookNotFoundError,
    InvalidArgumentError,
    RunNotFoundError,
)

T = TypeVar("T")

#: A page of hooks is cut after so many bytes, but has one at least.
LIST_BYTES = 2 * 1024 * 1024
#: How many payloads a stream reads at a time.
PAYLOADS_AT_ONCE = 64


class HookService:
    """Answers the calls of ``hookd.v1.HookService``."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._max_token_bytes = backend.settings.max_token_bytes

    def _message(self, view: HookView) -> Hook:
        return messages.hook_message(view, self._backend.webhook_base_url)

    def _new(self, claimed: Claimed, spec: HookSpec) -> Hook:
        return messages.new_hook_message(claimed, spec, self._backend.webhook_base_url)

    async def create_hook(
        self, request: pb.CreateHookRequest, call: CallContext
    ) -> pb.CreateHookResponse:
        """Claims a token for a run."""
        project = validate.project(request.project)
        run_id = validate.identifier("run_id", request.run_id)
        try:
            spec = hook_spec(request.hook, self._max_token_bytes)
        except InvalidArgumentError as error:
            raise error.within("hook") from None
        (outcome,) = await self._backend.run(create_hooks, call.metadata, project, [(run_id, spec)])
        if isinstance(outcome, Claimed):
            if not outcome.existed:
                return pb.CreateHookResponse(hook=self._new(outcome, spec))
            view = await self._backend.run(
                lookup.load_hook, None, project, run_id, spec.hook_id, with_metadata=True
            )
            return pb.CreateHookResponse(hook=self._message(view), already_exists=True)
        if isinstance(outcome, HookConflictError):
            self._backend.note_conflict(run_id, outcome.conflict, call.metadata)
        raise outcome

    async def create_hooks(
        self, request: pb.CreateHooksRequest, call: CallContext
    ) -> pb.CreateHooksResponse:
        """Claims many tokens in one commit."""
        project = validate.project(request.project)
        response = pb.CreateHooksResponse()
        await self.claim_batch(call, project, request.hooks, response.results.add)
        return response

    async def claim_batch(
        self,
        call: CallContext,
        project: str,
        hooks: Sequence[pb.HookClaim],
        add: Callable[[], pb.HookClaimResult],
    ) -> None:
        """Claims a batch, and adds a result for each of its hooks.

        Args:
            call: the call.
            project: the project, checked.
            hooks: what is claimed.
            add: makes an empty result, the next one of the answer.
        """
        validate.count("hooks", len(hooks), validate.MAX_BATCH)
        limit = self._max_token_bytes
        refused: dict[int, HookdError] = {}
        wanted: list[tuple[str, HookSpec]] = []
        for i, hook in enumerate(hooks):
            try:
                validate.identifier("run_id", hook.run_id)
            except InvalidArgumentError as error:
                refused[i] = error.within(f"hooks[{i}]")
                continue
            try:
                wanted.append((hook.run_id, hook_spec(hook.hook, limit)))
            except InvalidArgumentError as error:
                refused[i] = error.within(f"hooks[{i}].hook")
        outcomes = await self._backend.run(create_hooks, call.metadata, project, wanted)
        for i in sorted(refused):
            outcomes.insert(i, refused[i])
        for hook, outcome in zip(hooks, outcomes, strict=True):
            _fill_result(add(), outcome)
            if type(outcome) is HookConflictError:
                self._backend.note_conflict(
                    hook.run_id, outcome.conflict, call.metadata, one_of_many=True
                )

    async def get_hook(self, request: pb.GetHookRequest, call: CallContext) -> pb.GetHookResponse:
        """Reads a hook, by token or by id."""
        project = validate.project(request.project)
        patience = Patience(validate.wait_seconds(request.wait))
        if request.WhichOneof("by") == "ref":
            run_id, hook_id = _reference(request.ref)
            view = await self._backend.run(
                lookup.load_hook, None, project, run_id, hook_id, with_metadata=True
            )
            return pb.GetHookResponse(hook=self._message(view))
        token = validate.token("token", request.token, self._max_token_bytes)

        async def find() -> HookView:
            return await self._backend.run(lookup.find_hook, None, project, token)

        view = await self._when_there(call, project, token, patience, find)
        return pb.GetHookResponse(hook=self._message(view))

    async def _when_there(
        self,
        call: CallContext,
        project: str,
        token: str,
        patience: Patience,
        attempt: Callable[[], Awaitable[T]],
    ) -> T:
        """Tries again, each time the token is claimed, until its hook is found."""
        try:
            return await attempt()
        except HookNotFoundError:
            if not patience.left():
                raise
        with (
            call.long_wait(),
            self._backend.store.subscribe(topics.token(project, token)) as claimed,
        ):
            while True:
                try:
                    return await attempt()
                except HookNotFoundError:
                    if not await claimed.wait(patience.left()):
                        raise

    async def list_hooks(
        self, request: pb.ListHooksRequest, call: CallContext
    ) -> pb.ListHooksResponse:
        """Lists the hooks of a run, or the tokens that are taken."""
        project = validate.project(request.project)
        limit = validate.page_size(request.page_size, 50)
        if request.run_id:
            validate.identifier("run_id", request.run_id)
            if request.token_prefix:
                raise InvalidArgumentError("token_prefix", "goes only without run_id")
        prefix = request.token_prefix
        validate.text("token_prefix", prefix, self._max_token_bytes)
        filters = repr((project, request.run_id, prefix)).encode()
        after = paging.text_position_of(filters, request.page_token)
        if request.run_id:
            views = await self._backend.run(
                lookup.list_hooks_of_run, None, project, request.run_id, after, limit
            )
        else:
            views = await self._backend.run(
                lookup.list_hooks_by_token, None, project, prefix, after or None, limit
            )
        fitting = _fitting(views)
        end = ""
        if len(fitting) == limit or len(fitting) < len(views):
            views = fitting
            end = views[-1].hook_id if request.run_id else views[-1].record.token
        return pb.ListHooksResponse(
            hooks=[self._message(view) for view in views],
            next_page_token=paging.page_token(filters, end.encode()),
        )

    async def resume_hook(
        self, request: pb.ResumeHookRequest, call: CallContext
    ) -> pb.ResumeHookResponse:
        """Delivers a payload to a token."""
        backend = self._backend
        project = validate.project(request.project)
        token = validate.token("token", request.token, self._max_token_bytes)
        payload = validate.payload("payload", request.payload)
        validate.text("payload_id", request.payload_id, validate.MAX_PAYLOAD_ID_BYTES)
        payload_id = request.payload_id or random_text()
        patience = Patience(validate.wait_seconds(request.wait))

        async def deliver() -> delivery.Delivery:
            return await backend.run(
                delivery.resume_hook, call.metadata, project, token, payload_id, payload
            )

        done = await self._when_there(call, project, token, patience, deliver)
        if done.duplicate:
            backend.metrics.resume_duplicates += 1
        return pb.ResumeHookResponse(
            run_id=done.run_id,
            hook_id=done.hook_id,
            payload_seq=done.payload_seq,
            duplicate=done.duplicate,
        )

    async def respond_webhook(
        self, request: pb.RespondWebhookRequest, call: CallContext
    ) -> pb.RespondWebhookResponse:
        """Says what the sender of a request to a webhook is answered."""
        project = validate.project(request.project)
        run_id, hook_id = _reference(request.ref)
        response = webhooks.response("response", request.response, MAX_BODY_BYTES)
        already = await self._backend.run(
            respond_webhook,
            call.metadata,
            project,
            run_id,
            hook_id,
            request.payload_seq,
            response,
        )
        return pb.RespondWebhookResponse(already_answered=already)

    async def dispose_hook(
        self, request: pb.DisposeHookRequest, call: CallContext
    ) -> pb.DisposeHookResponse:
        """Gives up a hook and its token."""
        project = validate.project(request.project)
        run_id, hook_id = _reference(request.ref)
        view, already = await self._backend.run(
            lookup.dispose_hook, call.metadata, project, run_id, hook_id
        )
        return pb.DisposeHookResponse(hook=self._message(view), already_disposed=already)

    async def receive_payloads(
        self, request: pb.ReceivePayloadsRequest, call: CallContext
    ) -> AsyncIterator[pb.ReceivePayloadsResponse]:
        """Streams the payloads of a hook until no more can come."""
        project = validate.project(request.project)
        run_id, hook_id = _reference(request.ref)
        view = await self._backend.run(lookup.load_hook, None, project, run_id, hook_id)
        call.accepted()
        uid, after = view.run.uid, request.after_payload_seq
        listening = (topics.hook(uid, hook_id), topics.run_ended(uid))
        with self._backend.store.subscribe(*listening) as news:
            while True:
                view, events = await self._backend.run(
                    delivery.read_payloads, None, project, run_id, hook_id, after, PAYLOADS_AT_ONCE
                )
                if view.run.uid != uid:
                    raise RunNotFoundError(run_id)  # removed, and its id is another run's
                for event in events:
                    after = event.hook_received.payload_seq
                    yield _received(event)
                if after < view.record.payload_count:
                    continue
                if view.status != HOOK_STATUS_ACTIVE:
                    closed = pb.HookClosed(status=view.status, run_status=view.run.record.status)
                    yield pb.ReceivePayloadsResponse(closed=closed)
                    return
                await news.wait(None)


def _fitting(views: list[HookView]) -> list[HookView]:
    """The first hooks of a list, as many as an answer may have: webhooks may be large."""
    size = 0
    for at, view in enumerate(views):
        size += view.record.ByteSize()
        if at and size > LIST_BYTES:
            return views[:at]
    return views


def _reference(ref: pb.HookRef) -> tuple[str, str]:
    return (
        validate.identifier("ref.run_id", ref.run_id),
        validate.identifier("ref.hook_id", ref.hook_id),
    )


def _fill_result(result: pb.HookClaimResult, outcome: Outcome) -> None:
    if isinstance(outcome, Claimed):
        claimed = result.claimed
        claimed.hook_id = outcome.hook_id
        claimed.token = outcome.token
        claimed.revision = outcome.revision
        claimed.already_exists = outcome.existed
    else:
        fill_error(result.error, outcome)


def _received(event: Event) -> pb.ReceivePayloadsResponse:
    received = event.hook_received
    return pb.ReceivePayloadsResponse(
        payload=pb.ReceivedPayload(
            payload_seq=received.payload_seq,
            payload_id=received.payload_id,
            payload=received.payload,
            received_at=event.time,
            traceparent=received.traceparent,
        )
    )
