"""The OpenAPI document, from the table of routes and the protos."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor
from hookd.v1 import errors_pb2

from hookd_daemon import __version__
from hookd_daemon.errors import HookdError
from hookd_daemon.http.rest.errors import STATUS
from hookd_daemon.http.rest.events import CONTENT_TYPE, POSITION
from hookd_daemon.http.rest.limits import PROJECT_SCHEMA
from hookd_daemon.http.rest.naming import enum_names
from hookd_daemon.http.rest.routes import PROJECT, ROUTES, Route
from hookd_daemon.http.rest.schema import Schema, Schemas

_ABOUT = (
    "Runs and hooks as JSON over HTTP: what `hookd.v1.RunService` and `hookd.v1.HookService` do "
    "over gRPC, but for `ClaimStream`, for which there is `POST /v1/hooks`.\n\n"
    "Every POST has the content type `application/json`, also one without a body. Answers leave "
    "out what is empty: texts, enums and objects; numbers, flags, arrays and maps are always "
    "there. Payloads are JSON as it is; where they are something else, a field with `_raw` behind "
    "its name has the media type and the bytes."
)

_ERRORS: Mapping[int, str] = {
    400: "A field is wrong, or an id was used before with other content.",
    401: "An API key is needed.",
    403: "The API key is for something else, or a page of another site has asked.",
    404: "There is no such thing.",
    409: "It is taken, or it has ended.",
    413: "The body is too large.",
    415: "The body is not said to be JSON.",
    429: "More is asked than a project may, or than the daemon takes.",
    500: "The daemon failed.",
    503: "The daemon cannot write, or is going down.",
}
_EVERYWHERE = (400, 401, 403, 429, 500, 503)
_WITH_BODY = (413, 415)


def document(max_token_bytes: int, *, keys_required: bool) -> dict[str, Any]:
    """The OpenAPI document.

    Args:
        max_token_bytes: the operator's limit.
        keys_required: whether callers need an API key.
    """
    schemas = Schemas(max_token_bytes)
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.template, {})[route.verb.lower()] = _operation(route, schemas)
    components = schemas.components | _error_schemas(schemas)
    key: dict[str, list[str]] = {"key": []}
    return {
        "openapi": "3.1.0",
        "info": {"title": "hookd", "version": __version__, "description": _ABOUT},
        "security": [key] if keys_required else [{}, key],
        "tags": [{"name": "runs"}, {"name": "hooks"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "responses": {str(status): _error(text) for status, text in _ERRORS.items()},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, made by `hookd keys create`.",
                }
            },
        },
    }


def _operation(route: Route, schemas: Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": operation_id(route),
        "tags": ["hooks" if "Hook" in route.path.split("/")[1] else "runs"],
        "summary": route.summary,
        "description": schemas.comments[route.method.full_name],
        "parameters": [*_path(route, schemas), *_query(route, schemas)],
        "responses": _answers(route, schemas),
    }
    if route.has_body:
        schema = schemas.body(route.body_message, route.body_fields, route.needs)
        media: Schema = {"schema": schema}
        if route.example:
            media["example"] = dict(route.example)
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": media},
        }
    return operation


def operation_id(route: Route) -> str:
    """The name of an operation: the call, and where it has several routes which one."""
    same = [other for other in ROUTES if other.call == route.call]
    if len(same) == 1:
        return route.call
    if route.template in {"/v1/hooks:resume", "/v1/hooks:get"}:
        return f"{route.call}ByBody"
    if "{token}" in route.template:
        return f"{route.call}ByToken"
    return f"{route.call}OfRun" if "{run_id}" in route.template else route.call


def _path(route: Route, schemas: Schemas) -> list[Schema]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": schemas.field(route.field_of(name)),
        }
        for name in route.parameters
    ]


def _query(route: Route, schemas: Schemas) -> list[Schema]:
    found: list[Schema] = []
    for name in route.query:
        schema = (
            PROJECT_SCHEMA | {"description": "The scope of runs and tokens."}
            if name == PROJECT
            else schemas.field(route.field_of(name))
        )
        parameter: Schema = {"name": name, "in": "query", "schema": schema}
        if "description" in schema:
            parameter["description"] = schema["description"]
        if schema.get("type") == "array":
            parameter |= {"style": "form", "explode": True}
        found.append(parameter)
    return found


def _answers(route: Route, schemas: Schemas) -> dict[str, Any]:
    answer = schemas.answer(route.answer)
    if route.is_stream:
        content = {CONTENT_TYPE: {"schema": _event(route)}}
    else:
        content = {"application/json": {"schema": answer}}
    description = schemas.comments.get(route.answer.full_name, "Done.")
    answers: dict[str, Any] = {"200": {"description": description, "content": content}}
    statuses = {*_EVERYWHERE, *_statuses(schemas.comments[route.method.full_name])}
    if route.has_body:
        statuses |= {*_WITH_BODY}
    for status in sorted(statuses):
        answers[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return answers


def _event(route: Route) -> Schema:
    """The schema of each event of a stream."""
    names, text = (
        (
            ["event", "end"],
            "`event`, whose data is an `Event` and whose id its `seq`; then `end`.",
        )
        if route.call == "WatchRun"
        else (
            ["payload", "closed"],
            "`payload`, whose data is a `ReceivedPayload` and whose id its `payload_seq`; then "
            "`closed`, with a `HookClosed`.",
        )
    )
    return {
        "type": "object",
        "description": f"Server-sent events: {text} `failed` has an `Error`. With the header "
        f"`Last-Event-ID` the stream goes on behind that event, as with `{POSITION[route.call]}`.",
        "required": ["event", "data"],
        "properties": {
            "event": {"type": "string", "enum": [*names, "failed"]},
            "data": {"type": "string", "contentMediaType": "application/json"},
            "id": {"type": "string", "pattern": "^[0-9]+$"},
        },
    }


def _statuses(comment: str) -> set[int]:
    """The statuses of the reasons that the comment of a call names."""
    reasons = set(re.findall(r"[A-Z]+(?:_[A-Z]+)+", comment.partition("Errors:")[2]))
    return {STATUS[kind.code] for kind in _kinds(HookdError) if kind.reason in reasons}


def _kinds(error: type[HookdError]) -> list[type[HookdError]]:
    return [kind for sub in error.__subclasses__() for kind in (sub, *_kinds(sub))]


def _error(text: str) -> Schema:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": text, "content": content}


def _error_schemas(schemas: Schemas) -> dict[str, Schema]:
    conflict: Descriptor = errors_pb2.HookConflict.DESCRIPTOR
    reasons = enum_names(errors_pb2.DESCRIPTOR.enum_types_by_name["ErrorReason"]).values()
    more = ("internal", "no_route", "method_not_allowed", "unsupported_media_type")
    facts: Schema = {
        "type": "object",
        "description": "Why something was refused.",
        "required": ["code", "reason", "message", "metadata"],
        "properties": {
            "code": {"type": "string", "enum": [code.name for code in STATUS]},
            "reason": {"type": "string", "enum": [name.upper() for name in (*reasons, *more)]},
            "message": {"type": "string", "description": "For people."},
            "metadata": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "The facts, for programs.",
            },
            "violations": {
                "type": "array",
                "description": "What is wrong with fields, if that is why.",
                "items": {
                    "type": "object",
                    "required": ["field", "description"],
                    "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
                },
            },
            "conflict": schemas.answer(conflict),
        },
    }
    return {
        "ErrorFacts": facts,
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {"error": {"$ref": "#/components/schemas/ErrorFacts"}},
        },
        "HookConflict": schemas.components["HookConflict"],
    }
