"""Durable workflow runs, and hooks with tokens that have exactly one owner.

``connect`` gives a client; ``start``, ``get_run``, ``resume_hook`` and
``get_hook_by_token`` use an ambient one. Everything public is named here.
"""

from hookd.ambient import ambient_client, get_hook_by_token, get_run, resume_hook, start
from hookd.claims import ClaimStream
from hookd.client import Client, connect
from hookd.enums import ConflictPolicy, HookStatus, RunStatus, StartOutcome
from hookd.errors import (
    ClientClosedError,
    DeadlineExceededError,
    FieldViolation,
    HookClosedError,
    HookConflictError,
    HookdError,
    HookNotFoundError,
    IdReusedError,
    InvalidArgumentError,
    LimitExceededError,
    RunCancelledError,
    RunExistsError,
    RunFailedError,
    RunNotActiveError,
    RunNotFoundError,
    UnavailableError,
)
from hookd.hook import Hook
from hookd.models import (
    BackupResult,
    Chunk,
    CompactResult,
    Event,
    Failure,
    HookClaim,
    HookConflict,
    HookInfo,
    HookSpec,
    ReceivedPayload,
    ResumeResult,
    RunInfo,
    StartInfo,
    Stats,
    StreamInfo,
)
from hookd.open_run import OpenRun
from hookd.payload import Payload
from hookd.run import Run

__all__ = [
    "BackupResult",
    "Chunk",
    "ClaimStream",
    "Client",
    "ClientClosedError",
    "CompactResult",
    "ConflictPolicy",
    "DeadlineExceededError",
    "Event",
    "Failure",
    "FieldViolation",
    "Hook",
    "HookClaim",
    "HookClosedError",
    "HookConflict",
    "HookConflictError",
    "HookInfo",
    "HookNotFoundError",
    "HookSpec",
    "HookStatus",
    "HookdError",
    "IdReusedError",
    "InvalidArgumentError",
    "LimitExceededError",
    "OpenRun",
    "Payload",
    "ReceivedPayload",
    "ResumeResult",
    "Run",
    "RunCancelledError",
    "RunExistsError",
    "RunFailedError",
    "RunInfo",
    "RunNotActiveError",
    "RunNotFoundError",
    "RunStatus",
    "StartInfo",
    "StartOutcome",
    "Stats",
    "StreamInfo",
    "UnavailableError",
    "ambient_client",
    "connect",
    "get_hook_by_token",
    "get_run",
    "resume_hook",
    "start",
]
