"""Hooks as callers describe them, checked."""

from __future__ import annotations

from hookd.v1.common_pb2 import HookSpec as HookSpecMessage

from hookd_daemon.api import validate, webhooks
from hookd_daemon.api.backend import random_text
from hookd_daemon.core.hooks import HookSpec


def hook_spec(message: HookSpecMessage, max_token_bytes: int, *, hook_id: str = "") -> HookSpec:
    """Checks what a caller says about a hook.

    Args:
        message: what the caller says.
        max_token_bytes: the operator's limit.
        hook_id: the id when the caller gives none; made from random bits if empty.

    Raises:
        InvalidArgumentError: something is wrong; names the field of the message.
    """
    given = message.hook_id
    if given:
        validate.identifier("hook_id", given)
    else:
        given = hook_id or f"hook_{random_text()}"
    if message.HasField("token"):
        spec = HookSpec(given, validate.token("token", message.token, max_token_bytes))
    else:
        spec = HookSpec(given, None, random_text())
    if message.HasField("metadata"):
        spec.metadata = validate.payload("metadata", message.metadata, validate.MAX_METADATA_BYTES)
    if message.HasField("ttl"):
        spec.ttl_ms = validate.duration_ms("ttl", message.ttl, 1, validate.MAX_DURATION_MS)
    if message.HasField("hold_after"):
        spec.hold_after_ms = validate.duration_ms(
            "hold_after", message.hold_after, 0, validate.MAX_DURATION_MS
        )
    if message.HasField("webhook"):
        token = spec.generated if spec.token is None else spec.token
        spec.webhook = webhooks.webhook(message.webhook, token)
    return spec
