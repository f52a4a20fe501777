"""What ``core`` answers, as messages of the API."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from hookd.v1.common_pb2 import HOOK_STATUS_ACTIVE, Hook, Run
from hookd.v1.stream_service_pb2 import Stream
from hookd.v1.webhook_pb2 import Webhook
from hookd.webhook_url import webhook_url

from hookd_daemon.core.hooks import Claimed, HookSpec, duration
from hookd_daemon.core.lookup import HookView
from hookd_daemon.core.reading import RunView
from hookd_daemon.core.streams import StreamView


def set_time(field: Timestamp, milliseconds: int) -> None:
    """Writes a time in milliseconds since 1970; 0 stays absent."""
    if milliseconds:
        field.FromMilliseconds(milliseconds)


def run_message(view: RunView, *, brief: bool = False) -> Run:
    """A run; without its input, output and failure details if ``brief``."""
    run, record = view.run, view.run.record
    message = Run(
        project=run.project,
        run_id=run.run_id,
        workflow=record.workflow,
        status=record.status,
        last_seq=record.last_seq,
        external=record.external,
        attributes=record.attributes,
        parent_run_id=record.parent_run_id,
    )
    set_time(message.created_at, record.created_ms)
    set_time(message.started_at, record.started_ms)
    set_time(message.ended_at, record.ended_ms)
    if record.lease_ttl_ms:
        message.lease_ttl.CopyFrom(duration(record.lease_ttl_ms))
        if run.active:
            set_time(message.lease_expires_at, record.lease_until_ms)
    if view.input is not None:
        message.input.CopyFrom(view.input)
    _add_end(message, view, brief)
    return message


def _add_end(message: Run, view: RunView, brief: bool) -> None:
    last = view.last
    if last is None:
        return
    if last.HasField("run_completed"):
        if not brief:
            message.output.CopyFrom(last.run_completed.output)
    elif last.HasField("run_failed"):
        message.failure.CopyFrom(last.run_failed.failure)
        if brief:
            message.failure.ClearField("details")
    elif last.HasField("run_cancelled"):
        message.cancel_reason = last.run_cancelled.reason


def hook_message(view: HookView, base_url: str) -> Hook:
    """A hook, with its metadata if it was read.

    Args:
        view: the hook.
        base_url: what the URLs of hooks begin with; empty when they have none.
    """
    run, record = view.run, view.record
    message = Hook(
        project=run.project,
        run_id=run.run_id,
        hook_id=view.hook_id,
        token=record.token,
        status=view.status,
        revision=record.revision,
        payload_count=record.payload_count,
        run_status=run.record.status,
        workflow=run.record.workflow,
    )
    _set_times(message, record.created_ms, record.ttl_ms, record.hold_after_ms)
    if view.metadata is not None:
        message.metadata.CopyFrom(view.metadata)
    if record.HasField("webhook"):
        _set_webhook(message, record.webhook, base_url)
    return message


def new_hook_message(claimed: Claimed, spec: HookSpec, base_url: str) -> Hook:
    """A hook that was created by this very call; see ``hook_message``."""
    run = claimed.run
    message = Hook(
        project=run.project,
        run_id=run.run_id,
        hook_id=claimed.hook_id,
        token=claimed.token,
        status=HOOK_STATUS_ACTIVE,
        revision=claimed.revision,
        run_status=run.record.status,
        workflow=run.record.workflow,
        metadata=spec.metadata,
    )
    _set_times(message, claimed.created_ms, spec.ttl_ms, spec.hold_after_ms)
    if spec.webhook is not None:
        _set_webhook(message, spec.webhook, base_url)
    return message


def _set_webhook(message: Hook, webhook: Webhook, base_url: str) -> None:
    message.webhook.CopyFrom(webhook)
    if base_url:
        message.url = webhook_url(base_url, message.project, message.token)


def _set_times(message: Hook, created_ms: int, ttl_ms: int, hold_after_ms: int) -> None:
    set_time(message.created_at, created_ms)
    if ttl_ms:
        set_time(message.expires_at, created_ms + ttl_ms)
    if hold_after_ms:
        message.hold_after.CopyFrom(duration(hold_after_ms))


def stream_message(view: StreamView) -> Stream:
    """A stream."""
    return Stream(namespace=view.namespace, length=view.length, closed=view.closed)
