"""Errors as HTTP has them: a status, and the facts that gRPC has in its details."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from starlette.responses import Response

from hookd_daemon.errors import (
    Code,
    HookConflictError,
    HookdError,
    InvalidArgumentError,
    LimitExceededError,
)
from hookd_daemon.http.rest.text import dump
from hookd_daemon.http.rest.writing import write

#: The HTTP status of every code.
STATUS: Mapping[Code, int] = {
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 409,
    Code.ABORTED: 409,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}

JSON_TYPE = "application/json"


class HttpError(Exception):
    """A request that is no call: wrong already as HTTP.

    Attributes:
        status: the HTTP status.
        reason: for programs.
        message: for people.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        **metadata: str,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.headers = headers or {}
        self.metadata = metadata


def body_of(error: HookdError | HttpError | None) -> str:
    """An error as JSON; None for one that nobody foresaw."""
    if error is None:
        return dump({"error": _facts("INTERNAL", "INTERNAL", _NO_WORD, {})})
    if isinstance(error, HttpError):
        code = "NOT_FOUND" if error.status == 404 else "INVALID_ARGUMENT"
        facts = _facts(code, error.reason, error.message, error.metadata)
        return dump({"error": facts})
    facts = _facts(error.code.name, error.reason, error.message, error.metadata)
    if isinstance(error, InvalidArgumentError):
        facts["violations"] = [{"field": error.field, "description": error.description}]
    text = dump(facts)
    if isinstance(error, HookConflictError):
        text = f'{text[:-1]},"conflict":{write(error.conflict.detail)}}}'
    return f'{{"error":{text}}}'


_NO_WORD = "the daemon failed; its log says why"


def _facts(code: str, reason: str, message: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    return {"code": code, "reason": reason, "message": message, "metadata": dict(metadata)}


def refusal(error: HookdError | HttpError | None) -> Response:
    """The answer to a request that is refused; None for an error that nobody foresaw."""
    headers: dict[str, str] = {}
    if error is None:
        status = 500
    elif isinstance(error, HttpError):
        status = error.status
        headers |= error.headers
    else:
        status = STATUS[error.code]
        if status == 401:
            headers["www-authenticate"] = "Bearer"
        if isinstance(error, LimitExceededError):
            headers["retry-after"] = str(max(ceil(error.retry_ms / 1000), 1))
    return json_response(body_of(error), status, headers)


def json_response(
    text: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer in JSON, which no browser keeps or takes for something else."""
    always = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(
        text.encode("utf-8", "surrogatepass"),
        status,
        headers={**always, **(headers or {})},
        media_type=JSON_TYPE,
    )
