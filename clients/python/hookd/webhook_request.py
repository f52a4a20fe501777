"""A request to a webhook, as who receives it has it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl

from google.protobuf import json_format
from pydantic_core import core_schema, from_json

from hookd.fields import Fields
from hookd.v1 import common_pb2
from hookd.v1 import webhook_pb2 as pb
from hookd.workflows.errors import OutsideWorkflowError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from hookd.webhook_response import HeadersToSend

    Answering = Callable[[int, HeadersToSend | None, Any], Awaitable[bool]]
    """The way back to who has sent a request: status, headers and body."""

MEDIA_TYPE = "application/vnd.hookd.webhook-request+json"
"""What the payload of a webhook is when a request has brought it."""

_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([\w.:-]{1,40})", re.IGNORECASE)


class WebhookRequest:
    """A request to the URL of a webhook.

    As an argument of a step, annotated with this class, and as the payload of
    ``resume_hook`` it travels whole, without the way back: ``respond`` is for
    what the webhook itself has given.

    Args:
        method: The method.
        path: What follows the URL of the webhook in the path.
        query: What follows "?".
        headers: The headers, as a mapping or pairs.
        body: The body.
        remote_address: Who has sent it.
    """

    __slots__ = ("_answering", "body", "headers", "method", "path", "query", "remote_address")

    method: str
    path: str
    query: str
    headers: Fields
    body: bytes
    remote_address: str

    def __init__(
        self,
        method: str = "POST",
        *,
        path: str = "",
        query: str = "",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        remote_address: str = "",
        _answering: Answering | None = None,
    ) -> None:
        self.method = method
        """In capitals: "POST"."""
        self.path = path
        """What follows the webhook's URL, with its percent signs; empty when nothing does."""
        self.query = query
        """What follows "?", with its percent signs."""
        self.headers = Fields(headers, any_case=True)
        """The headers, found by their names in any case."""
        self.body = body
        """The body, as it came."""
        self.remote_address = remote_address
        """The sender's IP address; empty for what ``resume_hook`` has delivered."""
        self._answering = _answering

    @property
    def params(self) -> Fields:
        """The parameters of the query, decoded."""
        return Fields(parse_qsl(self.query, keep_blank_values=True))

    @property
    def content_type(self) -> str:
        """What the body is, in lower case and without parameters: "application/json"."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """Reads the body as JSON.

        Raises:
            ValueError: It is none.
        """
        return from_json(self.body)

    def text(self) -> str:
        """Reads the body as text in the encoding that the headers name, or UTF-8.

        It never fails: what cannot be decoded becomes U+FFFD.
        """
        named = _CHARSET.search(self.headers.get("content-type", ""))
        try:
            return self.body.decode(named[1] if named else "utf-8", errors="replace")
        except (LookupError, ValueError):
            # No such encoding, or one that is not forgiving.
            return self.body.decode(errors="replace")

    def respond(
        self, status: int = 200, headers: HeadersToSend | None = None, body: Any = b""
    ) -> Awaitable[bool]:
        """Says what the sender is answered, when the webhook was made with ``"manual"``.

        In the code of a workflow it takes effect at once, and awaiting it waits
        until the daemon has it. Elsewhere it must be awaited.

        Args:
            status: From 200 to 599.
            headers: A mapping, or pairs; at most 32, of together 8 KiB.
            body: At most 1 MiB: bytes, text, or any JSON value. The latter two
                set ``content-type``, unless it is among the headers.

        Returns:
            What can be awaited: whether this has answered the request, and not
            somebody before.

        Raises:
            InvalidArgumentError: An argument is wrong, or, outside of workflow
                code, the webhook is not one that answers so.
            WorkflowRuleError: Workflow code has answered it before, or the
                webhook is not one that answers so.
            IdReusedError: Another answer was given before; not in workflow code.
            RunNotActiveError: The run has ended; not in workflow code.
        """
        if self._answering is None:
            raise OutsideWorkflowError(
                "A copy of a request cannot be answered: call respond() of what the webhook gave"
            )
        return self._answering(status, headers, body)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WebhookRequest):
            return NotImplemented
        return self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())

    def __repr__(self) -> str:
        # Not more: addresses, headers and bodies have secrets in them.
        return f"<WebhookRequest {self.method}, {len(self.body)} bytes>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, self._facts()

    def _facts(self) -> tuple[Any, ...]:
        return (
            self.method,
            self.path,
            self.query,
            self.headers.pairs,
            self.body,
            self.remote_address,
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._from_json,
            serialization=core_schema.plain_serializer_function_ser_schema(_to_json),
        )

    @classmethod
    def _from_json(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, dict):
            raise ValueError("must be a request to a webhook")  # noqa: TRY004 - pydantic knows it
        try:
            return cls._of(json_format.ParseDict(value, pb.WebhookRequest()))
        except json_format.ParseError as error:
            raise ValueError(f"is no request to a webhook: {error}") from None

    @classmethod
    def _of(cls, wire: pb.WebhookRequest, answering: Answering | None = None) -> Self:
        return cls(
            wire.method,
            path=wire.path,
            query=wire.query,
            headers=[(header.name, header.value) for header in wire.headers],
            body=wire.body,
            remote_address=wire.remote_address,
            _answering=answering,
        )


def request_of(payload: common_pb2.Payload, answering: Answering | None = None) -> WebhookRequest:
    """Gives the payload of a webhook as a request.

    What ``resume_hook`` has delivered has no sender: it is a POST whose body
    is the payload.
    """
    kind = payload.content_type.partition(";")[0].strip().lower()
    if kind == MEDIA_TYPE:
        try:
            wire = json_format.Parse(payload.data, pb.WebhookRequest(), ignore_unknown_fields=True)
        except (json_format.ParseError, UnicodeDecodeError):
            wire = pb.WebhookRequest()
        # Without a method it is something else that somebody says is one.
        if wire.method:
            return WebhookRequest._of(wire, answering)
    return WebhookRequest(
        headers=[("content-type", payload.content_type)] if payload.content_type else (),
        body=payload.data,
        _answering=answering,
    )


def payload_of(request: WebhookRequest) -> common_pb2.Payload:
    """Gives a request as the payload that it was, for another webhook."""
    text = json_format.MessageToJson(
        _wire(request), preserving_proto_field_name=True, indent=None, ensure_ascii=False
    )
    return common_pb2.Payload(content_type=MEDIA_TYPE, data=text.encode())


def _to_json(request: WebhookRequest) -> dict[str, Any]:
    return json_format.MessageToDict(_wire(request), preserving_proto_field_name=True)


def _wire(request: WebhookRequest) -> pb.WebhookRequest:
    return pb.WebhookRequest(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=[pb.HttpHeader(name=name, value=value) for name, value in request.headers.pairs],
        body=request.body,
        remote_address=request.remote_address,
    )


def _restore(
    method: str,
    path: str,
    query: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    remote_address: str,
) -> WebhookRequest:
    return WebhookRequest(
        method,
        path=path,
        query=query,
        headers=headers,
        body=body,
        remote_address=remote_address,
    )
