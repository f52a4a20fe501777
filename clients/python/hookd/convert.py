"""From the wire's messages to what users see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import Message

from hookd import models
from hookd.enums import HookStatus, QueueKind, RunStatus, StartOutcome, WaitKind
from hookd.payload import decode
from hookd.v1 import (
    common_pb2,
    errors_pb2,
    events_pb2,
    hook_service_pb2,
    run_service_pb2,
    worker_service_pb2,
)

if TYPE_CHECKING:
    from google.protobuf.descriptor import EnumDescriptor
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

    from hookd.v1 import admin_service_pb2, stream_service_pb2

_Word = TypeVar("_Word", bound=StrEnum)


def _words(wire: _EnumTypeWrapper[Any], prefix: str, words: type[_Word]) -> dict[int, _Word]:
    known = {word.value: word for word in words}
    pairs = ((number, name.removeprefix(prefix).lower()) for name, number in wire.items())
    return {number: known[word] for number, word in pairs if word in known}


_RUN_STATUS = _words(common_pb2.RunStatus, "RUN_STATUS_", RunStatus)
_HOOK_STATUS = _words(common_pb2.HookStatus, "HOOK_STATUS_", HookStatus)
_WAIT_KIND = _words(common_pb2.WaitKind, "WAIT_KIND_", WaitKind)
_QUEUE_KIND = _words(worker_service_pb2.QueueKind, "QUEUE_KIND_", QueueKind)
_START_OUTCOME = _words(run_service_pb2.StartOutcome, "START_OUTCOME_", StartOutcome)
RUN_STATUS_TO_WIRE = {
    word: common_pb2.RunStatus.Value(f"RUN_STATUS_{word.name}") for word in _RUN_STATUS.values()
}


def run_status(wire: int) -> RunStatus:
    """Gives the status of a run."""
    return _RUN_STATUS.get(wire, RunStatus.UNKNOWN)


def hook_status(wire: int) -> HookStatus:
    """Gives the status of a hook."""
    return _HOOK_STATUS.get(wire, HookStatus.UNKNOWN)


def start_outcome(wire: int) -> StartOutcome:
    """Gives what StartRun did."""
    return _START_OUTCOME.get(wire, StartOutcome.UNKNOWN)


def timestamp(wire: timestamp_pb2.Timestamp) -> datetime:
    """Gives a point in time, in UTC."""
    return wire.ToDatetime(tzinfo=UTC)


def conflict(wire: errors_pb2.HookConflict) -> models.HookConflict:
    """Gives who holds a token."""
    return models.HookConflict(
        token=wire.token,
        run_id=wire.run_id,
        hook_id=wire.hook_id,
        run_status=run_status(wire.run_status),
        workflow=wire.workflow,
        claimed_at=timestamp(wire.claimed_at) if wire.HasField("claimed_at") else None,
        revision=wire.revision,
    )


def failure(wire: common_pb2.Failure) -> models.Failure:
    """Gives why a run failed."""
    details = decode(wire.details) if wire.HasField("details") else None
    return models.Failure(wire.type, wire.message, details)


def run_info(wire: common_pb2.Run) -> models.RunInfo:
    """Gives the snapshot of a run."""
    has = wire.HasField
    return models.RunInfo(
        project=wire.project,
        run_id=wire.run_id,
        workflow=wire.workflow,
        status=run_status(wire.status),
        input=decode(wire.input) if has("input") else None,
        output=decode(wire.output) if has("output") else None,
        failure=failure(wire.failure) if has("failure") else None,
        cancel_reason=wire.cancel_reason,
        created_at=timestamp(wire.created_at) if has("created_at") else None,
        started_at=timestamp(wire.started_at) if has("started_at") else None,
        ended_at=timestamp(wire.ended_at) if has("ended_at") else None,
        last_seq=wire.last_seq,
        external=wire.external,
        lease_ttl=wire.lease_ttl.ToTimedelta() if has("lease_ttl") else None,
        lease_expires_at=timestamp(wire.lease_expires_at) if has("lease_expires_at") else None,
        attributes=dict(wire.attributes),
        parent_run_id=wire.parent_run_id,
    )


def wait_info(wire: common_pb2.Wait) -> models.WaitInfo:
    """Gives what a run waits for."""
    return models.WaitInfo(
        kind=_WAIT_KIND.get(wire.kind, WaitKind.UNKNOWN),
        name=wire.name,
        correlation_id=wire.correlation_id,
        until=timestamp(wire.until) if wire.HasField("until") else None,
        unserved=wire.unserved,
        attempt=wire.attempt,
    )


def queue_info(wire: worker_service_pb2.Queue) -> models.QueueInfo:
    """Gives what waits for workers under one name."""
    return models.QueueInfo(
        kind=_QUEUE_KIND.get(wire.kind, QueueKind.UNKNOWN),
        name=wire.name,
        length=wire.length,
        leased=wire.leased,
        oldest=timestamp(wire.oldest) if wire.HasField("oldest") else None,
        workers=tuple(wire.workers),
    )


def hook_info(wire: common_pb2.Hook) -> models.HookInfo:
    """Gives the snapshot of a hook."""
    has = wire.HasField
    return models.HookInfo(
        project=wire.project,
        run_id=wire.run_id,
        hook_id=wire.hook_id,
        token=wire.token,
        status=hook_status(wire.status),
        metadata=decode(wire.metadata) if has("metadata") else None,
        created_at=timestamp(wire.created_at) if has("created_at") else None,
        expires_at=timestamp(wire.expires_at) if has("expires_at") else None,
        hold_after=wire.hold_after.ToTimedelta() if has("hold_after") else None,
        revision=wire.revision,
        payload_count=wire.payload_count,
        run_status=run_status(wire.run_status),
        workflow=wire.workflow,
        url=wire.url,
    )


def received_payload(wire: hook_service_pb2.ReceivedPayload, value: Any) -> models.ReceivedPayload:
    """Gives a payload with what is known about it, and what it says to who reads it."""
    return models.ReceivedPayload(
        payload_seq=wire.payload_seq,
        payload_id=wire.payload_id,
        value=value,
        received_at=timestamp(wire.received_at) if wire.HasField("received_at") else None,
        traceparent=wire.traceparent,
    )


def chunk(wire: stream_service_pb2.StreamChunk) -> models.Chunk:
    """Gives a chunk of a stream."""
    time = timestamp(wire.time) if wire.HasField("time") else None
    return models.Chunk(wire.index, decode(wire.payload), time)


def stream_info(wire: stream_service_pb2.Stream) -> models.StreamInfo:
    """Gives the snapshot of a stream."""
    return models.StreamInfo(wire.namespace, wire.length, wire.closed)


def event(wire: events_pb2.Event) -> models.Event:
    """Gives an entry of a run's log."""
    kind = wire.WhichOneof("data")
    return models.Event(
        seq=wire.seq,
        type=kind or "unknown",
        time=timestamp(wire.time) if wire.HasField("time") else None,
        correlation_id=wire.correlation_id,
        data=_facts(getattr(wire, kind)) if kind else {},
        turn=wire.turn,
    )


def stats(wire: admin_service_pb2.GetStatsResponse) -> models.Stats:
    """Gives how the daemon stands."""
    return models.Stats(
        version=wire.version,
        started_at=timestamp(wire.started_at) if wire.HasField("started_at") else None,
        recovery_time=wire.recovery_time.ToTimedelta(),
        recovered_tokens=wire.recovered_tokens,
        pending_runs=wire.pending_runs,
        running_runs=wire.running_runs,
        active_tokens=wire.active_tokens,
        token_index_bytes=wire.token_index_bytes,
        store_bytes=wire.store_bytes,
        revision=wire.revision,
        calls_in_flight=wire.calls_in_flight,
        claims_total=wire.claims_total,
        conflicts_total=wire.conflicts_total,
        releases_total=wire.releases_total,
        resumes_total=wire.resumes_total,
    )


def _facts(message: Message) -> dict[str, Any]:
    """Gives the fields of an event's data by their names, those that are absent left out."""
    return {
        field.name: _fact(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _fact(field: Any, value: Any) -> Any:
    match value:
        case common_pb2.Payload():
            return decode(value)
        case common_pb2.Failure():
            return failure(value)
        case errors_pb2.HookConflict():
            return conflict(value)
        case timestamp_pb2.Timestamp():
            return timestamp(value)
        case duration_pb2.Duration():
            return value.ToTimedelta()
        case Message():
            return _facts(value)
        case Mapping():
            return dict(value)
        case Sequence() if field.message_type is not None:
            return [_fact(field, item) for item in value]
    kind: EnumDescriptor | None = field.enum_type
    return value if kind is None else _enum_word(kind, value)


def _enum_word(kind: EnumDescriptor, number: int) -> str:
    """Gives the word for a number of any enum: DISPOSE_CAUSE_EXPIRED is "expired"."""
    known = kind.values_by_number.get(number)
    if known is None:
        return "unknown"
    unspecified = kind.values_by_number[0].name
    return known.name.removeprefix(unspecified.removesuffix("UNSPECIFIED")).lower()
