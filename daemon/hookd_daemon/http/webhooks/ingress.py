"""Takes requests to webhooks: found, read, verified, delivered, answered, in this order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from hookd.v1.webhook_pb2 import Webhook
from starlette.types import Receive, Scope, Send

from hookd_daemon.api import webhooks
from hookd_daemon.api.backend import Backend, Patience
from hookd_daemon.api.context import CallContext
from hookd_daemon.api.gate import Gate
from hookd_daemon.core import topics
from hookd_daemon.core.ingress import (
    Delivered,
    Target,
    deliver_request,
    find_delivered,
    find_webhook,
    read_response,
)
from hookd_daemon.errors import HookdError
from hookd_daemon.http.call import DisconnectedError, HttpCall, while_connected
from hookd_daemon.http.webhooks.address import Proxies, WebhookAddress, read_address
from hookd_daemon.http.webhooks.answers import (
    ACCEPTED,
    NOT_FOUND,
    Answer,
    RefusedError,
    given,
    refusal,
)
from hookd_daemon.http.webhooks.body import read_body
from hookd_daemon.http.webhooks.payload import (
    Identity,
    identify,
    make_payload,
    possible_ids,
)
from hookd_daemon.http.webhooks.request import IncomingRequest
from hookd_daemon.http.webhooks.schemes import (
    SIGNATURES_WITH_ID_IN_BODY,
    NotVerifiedError,
    verify,
)
from hookd_daemon.logs import get_logger, token_field
from hookd_daemon.secrets.files import SecretError, SecretFiles

log = get_logger(__name__)

#: What spans and metrics call such a request.
LABEL = "/webhooks"
#: A secret that cannot be used is told of so often, in seconds, and of so many.
TELL_EVERY_S = 10.0
MOST_TOLD = 1000


class WebhookCall(HttpCall):
    """A request to a webhook, whose sender needs no key."""

    __slots__ = ()

    @contextmanager
    def long_wait(self) -> Iterator[None]:
        """See ``CallContext.long_wait``."""
        with self._gate.long_wait(self._place):
            yield


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the limits of a project look at."""

    project: str


class Ingress:
    """Takes requests to webhooks; an ASGI application.

    Args:
        backend: the store and the time.
        gate: how many calls and waits there may be.
        secrets: what requests are signed with.
    """

    def __init__(self, backend: Backend, gate: Gate, secrets: SecretFiles) -> None:
        self._backend = backend
        self._gate = gate
        self._secrets = secrets
        self._proxies = Proxies(backend.settings.trusted_proxies)
        self._max_token_bytes = backend.settings.max_token_bytes
        self._told: dict[tuple[str, str], float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes one request."""
        address = read_address(scope["raw_path"], self._max_token_bytes)
        request = IncomingRequest.of(scope, address.rest if address else "", self._proxies)
        metadata = request.metadata()
        begin, code = time.perf_counter(), "CANCELLED"
        with self._backend.tracing.server_span(LABEL, metadata) as span:
            try:
                answer = await self._answered(address, request, metadata, receive)
                code = answer.code
            except DisconnectedError:
                return
            except Exception:
                code = "INTERNAL"
                raise
            finally:
                span.set_code(code)
                seconds = time.perf_counter() - begin
                self._backend.metrics.request_seconds(LABEL, code, seconds)
        await answer.send(send)

    async def _answered(
        self,
        address: WebhookAddress | None,
        request: IncomingRequest,
        metadata: Mapping[str, str],
        receive: Receive,
    ) -> Answer:
        try:
            # CONNECT asks for a tunnel, which an answer would seem to open.
            if address is None or request.method == "CONNECT":
                return NOT_FOUND
            return await self._receive(address, request, metadata, receive)
        except RefusedError as refused:
            return refused.answer
        except HookdError as error:
            return refusal(error).answer

    async def _receive(
        self,
        address: WebhookAddress,
        request: IncomingRequest,
        metadata: Mapping[str, str],
        receive: Receive,
    ) -> Answer:
        with self._entered():
            target = await self._find(address)
            wanted = target is not None or await self._may_be_retry(address, request)
        if not wanted:
            return NOT_FOUND
        try:
            request.body = await read_body(request, receive)
        except RefusedError:
            if target is None:
                return NOT_FOUND
            raise
        with self._entered():
            call = WebhookCall(metadata, self._gate)
            return await while_connected(receive, self._take(address, request, call))

    @contextmanager
    def _entered(self) -> Iterator[None]:
        self._gate.enter()
        try:
            yield
        finally:
            self._gate.leave()

    async def _find(self, address: WebhookAddress) -> Target | None:
        return await self._backend.run(find_webhook, None, address.project, address.token)

    async def _find_delivered(self, address: WebhookAddress, payload_id: str) -> Delivered | None:
        return await self._backend.run(
            find_delivered, None, address.project, address.token, payload_id
        )

    async def _may_be_retry(self, address: WebhookAddress, request: IncomingRequest) -> bool:
        """Whether a request may be known, though its token is no webhook's now.

        If its id stands in its body, that is read whatever the token is: else
        one could see whether the token ever was a webhook's.
        """
        if any(name in SIGNATURES_WITH_ID_IN_BODY.values() for name, _ in request.headers):
            return True
        for payload_id in possible_ids(request):
            done = await self._find_delivered(address, payload_id)
            if done is not None and done.reached:
                return True
        return False

    async def _take(
        self, address: WebhookAddress, request: IncomingRequest, call: WebhookCall
    ) -> Answer:
        """Answers a request whose body was read."""
        asked = _Asked(address.project)
        while True:
            target = await self._find(address)
            if target is None:
                return await self._answer_retry(address, request, call)
            self._verify(address, target.webhook, request)
            identity = identify(target.webhook, request)
            deliver = partial(self._deliver, address, target, identity, request)
            # Counted here: those who know no token, or no secret, must not use
            # up what the project may call.
            answer = await self._backend.admission.answer(
                LABEL, asked, len(request.body), call, deliver
            )
            if answer is not None:
                return answer

    async def _deliver(
        self,
        address: WebhookAddress,
        target: Target,
        identity: Identity,
        request: IncomingRequest,
        _: _Asked,
        call: CallContext,
    ) -> Answer | None:
        """Delivers a request that is verified; None when the token has changed hands since."""
        # Before anything is written: a sender who cannot wait is told to come
        # again, and then nothing of his may be delivered.
        with _waiting(call, target.webhook):
            done = await self._backend.run(
                deliver_request,
                call.metadata,
                address.project,
                address.token,
                target,
                identity.payload_id,
                identity.told_by,
                make_payload(target.webhook, request),
            )
            if done is None:
                return None
            if done.duplicate:
                self._backend.metrics.resume_duplicates += 1
                _check_same(done, identity)
                if (done.target.run_uid, done.target.hook_id) != (target.run_uid, target.hook_id):
                    # What another hook's sender was told is for him alone.
                    self._verify(address, done.target.webhook, request)
            return await self._answer(address.project, done)

    async def _answer_retry(
        self, address: WebhookAddress, request: IncomingRequest, call: WebhookCall
    ) -> Answer:
        """Answers a request that was delivered to a hook which is no more.

        Raises:
            RefusedError: another request came with its id, or its secret is missing.
        """
        for payload_id in possible_ids(request):
            done = await self._find_delivered(address, payload_id)
            if done is None or not done.reached:
                continue
            try:
                self._verify(address, done.target.webhook, request)
                identity = identify(done.target.webhook, request)
            except RefusedError as refused:
                if refused.answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
                continue
            if identity.payload_id == payload_id:
                self._backend.metrics.resume_duplicates += 1
                _check_same(done, identity)
                with _waiting(call, done.target.webhook):
                    return await self._answer(address.project, done)
        return NOT_FOUND

    def _verify(self, address: WebhookAddress, webhook: Webhook, request: IncomingRequest) -> None:
        """Raises RefusedError when a request is not signed as its webhook wants it."""
        if not webhook.HasField("verification"):
            return
        how = webhook.verification
        try:
            # Read anew for each request, so that a change counts at once.
            secrets = self._secrets.read(address.project, how.secret)
        except SecretError as error:
            self._tell(address.project, how.secret, error)
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE) from None
        try:
            verify(how, secrets, request, self._backend.clock.now_ms() / 1000)
        except NotVerifiedError as error:
            log.debug(
                "webhook request not verified",
                project=address.project,
                why=str(error),
                **token_field(address.project, address.token),
            )
            raise RefusedError(HTTPStatus.UNAUTHORIZED) from None

    def _tell(self, project: str, name: str, error: SecretError) -> None:
        """Logs that a secret cannot be used, and not for each request anew."""
        now = time.monotonic()
        if now < self._told.get((project, name), now):
            return
        if len(self._told) >= MOST_TOLD:
            self._told.clear()
        self._told[project, name] = now + TELL_EVERY_S
        log.error("webhook secret cannot be used", project=project, secret=name, why=str(error))

    async def _answer(self, project: str, done: Delivered) -> Answer:
        """What the sender of a request that was delivered is answered."""
        target, seq = done.target, done.payload_seq
        webhook = target.webhook
        if webhook.HasField("response"):
            return given(webhook.response)
        if not webhook.HasField("manual"):
            return ACCEPTED
        backend = self._backend
        patience = Patience(webhooks.within_ms(webhook) / 1000)
        said = topics.answer(target.run_uid, target.hook_id, seq)
        with backend.store.subscribe(said, topics.run_ended(target.run_uid)) as news:
            while True:
                response, more = await backend.run(read_response, None, project, target, seq)
                if response is not None:
                    return given(response)
                if not more or not await news.wait(patience.left()):
                    raise RefusedError(HTTPStatus.GATEWAY_TIMEOUT)


def _waiting(call: CallContext, webhook: Webhook) -> AbstractContextManager[None]:
    """Counts a call as a wait if its answer is the run's to give."""
    return call.long_wait() if webhook.HasField("manual") else nullcontext()


def _check_same(done: Delivered, identity: Identity) -> None:
    """Raises RefusedError when another request came with this id before."""
    if done.told_by != identity.told_by:
        why = "this id came with another request before"
        raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, why)
