"""What the fields of requests may hold, as JSON Schema says it.

The checks themselves are in ``api.validate``; this is what is told of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hookd_daemon.api import validate as v

#: What the patterns and lengths of JSON Schema cannot say: sizes in bytes.
TEXT_FORMAT = "hookd-text"
PAGE_FORMAT = "hookd-page"
DURATION_FORMAT = "hookd-duration"
DURATION_PATTERN = r"^([0-9]{1,12}(\.[0-9]{1,9})?(ms|s|m|h|d|w))+$"

_PROJECT = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$"
_HEADER_NAME = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
_HEADER_VALUE = r"^([!-~\u0080-\u00ff]([\t -~\u0080-\u00ff]*[!-~\u0080-\u00ff])?)?$"
_ID = {"type": "string", "pattern": r"^[!-~]{1,128}$"}
_ID_OR_EMPTY = {"type": "string", "pattern": r"^[!-~]{0,128}$"}


def _text(limit: int, least: int = 0) -> dict[str, Any]:
    """A text of at most so many bytes of UTF-8; for letters of English, characters."""
    schema = {"type": "string", "maxLength": limit, "format": TEXT_FORMAT}
    return schema | ({"minLength": least} if least else {})


def duration(low_ms: int, high_ms: int) -> dict[str, Any]:
    """A duration within bounds: a number of seconds, or text."""
    return {
        "type": ["number", "string"],
        "minimum": low_ms / 1000,
        "maximum": high_ms / 1000,
        "format": DURATION_FORMAT,
        "pattern": DURATION_PATTERN,
        "examples": ["1.5s", 90],
    }


def limits(max_token_bytes: int) -> Mapping[str, Mapping[str, Any]]:
    """What is known of fields, by their full names.

    Args:
        max_token_bytes: the operator's limit.
    """
    token = _text(max_token_bytes, 1) | {"examples": ["payment-42"]}
    page = {"type": "integer", "minimum": 0, "maximum": v.MAX_PAGE}
    page_token = {"type": "string", "format": PAGE_FORMAT}
    wait = duration(0, v.MAX_WAIT_MS)
    time = {"type": "string", "format": "date-time"}
    attributes = {
        "type": "object",
        "maxProperties": v.MAX_ATTRIBUTES,
        "propertyNames": _text(v.MAX_ATTRIBUTE_NAME_BYTES, 1),
        "additionalProperties": _text(v.MAX_ATTRIBUTE_VALUE_BYTES),
    }
    of: dict[str, Mapping[str, Any]] = {
        "StartRunRequest.run_id": _ID_OR_EMPTY,
        "StartRunRequest.workflow": _text(v.MAX_WORKFLOW_BYTES, 1),
        "StartRunRequest.attributes": attributes,
        "StartRunRequest.claims": {"maxItems": v.MAX_CLAIMS},
        "StartRunRequest.payload_id": _text(v.MAX_PAYLOAD_ID_BYTES),
        "StartRunRequest.lease_ttl": duration(v.MIN_LEASE_MS, v.MAX_LEASE_MS),
        "ListRunsRequest.workflow": _text(v.MAX_WORKFLOW_BYTES),
        "ListRunsRequest.created_after": time,
        "ListRunsRequest.created_before": time,
        "ListRunsRequest.page_size": page,
        "ListRunsRequest.page_token": page_token,
        "ListHooksRequest.page_size": page,
        "ListHooksRequest.page_token": page_token,
        "ListHooksRequest.token_prefix": _text(max_token_bytes),
        "ListEventsRequest.page_size": page,
        "CancelRunRequest.reason": _text(v.MAX_TEXT_BYTES),
        "AwaitRunRequest.wait": wait,
        "GetHookRequest.token": token,
        "GetHookRequest.wait": wait,
        "ResumeHookRequest.token": token,
        "ResumeHookRequest.payload_id": _text(v.MAX_PAYLOAD_ID_BYTES),
        "ResumeHookRequest.wait": wait,
        "CreateHooksRequest.hooks": {"maxItems": v.MAX_BATCH},
        "HookSpec.hook_id": _ID_OR_EMPTY,
        "HookSpec.token": token,
        "HookSpec.ttl": duration(1, v.MAX_DURATION_MS),
        "HookSpec.hold_after": duration(0, v.MAX_DURATION_MS),
        "HookRef.run_id": _ID,
        "HookRef.hook_id": _ID,
        "ManualAnswer.within": duration(100, v.MAX_WAIT_MS),
        "HttpResponse.status": {"type": "integer", "minimum": 200, "maximum": 599},
        "HttpResponse.headers": {"maxItems": 32},
        "HttpHeader.name": {"type": "string", "pattern": _HEADER_NAME},
        "HttpHeader.value": {"type": "string", "pattern": _HEADER_VALUE},
        "WebhookVerification.secret": {
            "type": "string",
            "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        },
        "WebhookVerification.header": {
            "type": "string",
            "pattern": _HEADER_NAME.replace("+$", "*$"),
            "maxLength": 128,
        },
        "WebhookVerification.prefix": {"type": "string", "pattern": "^[ -~]*$", "maxLength": 64},
        "Failure.type": _text(v.MAX_FAILURE_TYPE_BYTES),
        "Failure.message": _text(v.MAX_FAILURE_MESSAGE_BYTES),
        "Payload.content_type": _text(v.MAX_CONTENT_TYPE_BYTES),
        "Payload.data": {"maxLength": (v.MAX_PAYLOAD_BYTES + 2) // 3 * 4},
    }
    for call in ("Get", "Cancel", "Complete", "Fail", "Await", "Watch"):
        of[f"{call}RunRequest.run_id"] = _ID
    for message in ("KeepAlive", "ListEvents", "ListHooks", "CreateHook"):
        of[f"{message}Request.run_id"] = _ID
    known = {f"hookd.v1.{name}": schema for name, schema in of.items()}
    return known


#: The project, which every call has.
PROJECT_SCHEMA = {"type": "string", "pattern": _PROJECT, "default": v.DEFAULT_PROJECT}

#: The fields that there must be.
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "WebhookVerification": ("scheme", "secret"),
    "HttpHeader": ("name",),
}

#: What a request must be beyond its single fields.
TOGETHER: Mapping[str, list[Mapping[str, Any]]] = {
    "HttpResponse": [
        {
            "if": {
                "required": ["status"],
                "properties": {"status": {"enum": [204, 205, 304]}},
            },
            "then": {"not": {"required": ["body"]}},
        }
    ],
    "WebhookVerification": [
        {
            "if": {"not": {"properties": {"scheme": {"const": "hmac_sha256"}}}},
            "then": {
                "not": {"anyOf": [{"required": [n]} for n in ("header", "prefix", "encoding")]}
            },
        }
    ],
    "StartRunRequest": [
        {
            "if": {"required": ["lease_ttl"]},
            "then": {"required": ["external"], "properties": {"external": {"const": True}}},
        },
        {
            "if": {
                "required": ["on_conflict"],
                "properties": {"on_conflict": {"const": "deliver"}},
            },
            "then": {"required": ["claims"], "properties": {"claims": {"minItems": 1}}},
            "else": {
                "not": {
                    "anyOf": [
                        {"required": [name]} for name in ("payload", "payload_raw", "payload_id")
                    ]
                }
            },
        },
    ],
}
