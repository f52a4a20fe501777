"""Durable workflow runs, and hooks with tokens that have exactly one owner.

``connect`` gives a client; ``start``, ``get_run``, ``resume_hook`` and
``get_hook_by_token`` use an ambient one. Everything public is named here.
"""

# What ``__init__.py`` imports when it is asked for: the one list of what is public.
from . import verify
from .ambient import ambient_client, get_hook_by_token, get_run, resume_hook, start
from .claims import ClaimStream
from .client import Client, connect
from .enums import ConflictPolicy, HookStatus, QueueKind, RunStatus, StartOutcome, WaitKind
from .errors import (
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
    PermissionDeniedError,
    RunCancelledError,
    RunExistsError,
    RunFailedError,
    RunNotActiveError,
    RunNotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from .fields import Fields
from .hook import Hook
from .models import (
    BackupResult,
    Chunk,
    CompactResult,
    Event,
    Failure,
    HookClaim,
    HookConflict,
    HookInfo,
    HookSpec,
    QueueInfo,
    ReceivedPayload,
    ResumeResult,
    RunInfo,
    StartInfo,
    Stats,
    StreamInfo,
    WaitInfo,
    WebhookSpec,
)
from .open_run import OpenRun
from .payload import Payload
from .run import Run
from .tls import Tls
from .verify import Verification
from .webhook import Webhook
from .webhook_request import WebhookRequest
from .webhook_response import Manual, WebhookResponse
from .worker import Worker
from .workflows.children import ChildRun
from .workflows.definition import RetryPolicy, Step, Workflow, step, workflow
from .workflows.deterministic import now, random, uuid4
from .workflows.errors import (
    FatalError,
    HookPayloadError,
    NonDeterminismError,
    OutsideWorkflowError,
    RetryableError,
    StepFailedError,
    WorkflowRuleError,
)
from .workflows.guards import unguarded
from .workflows.hook_types import HookDefinition, define_hook
from .workflows.hooks import WorkflowHook, create_hook
from .workflows.metadata import WorkflowMetadata, get_workflow_metadata, set_attributes
from .workflows.step_context import StepContext, get_step_metadata
from .workflows.timers import sleep
from .workflows.webhooks import WorkflowWebhook, create_webhook
from .workflows.writable import Writable, get_writable

__all__ = [
    "BackupResult",
    "ChildRun",
    "Chunk",
    "ClaimStream",
    "Client",
    "ClientClosedError",
    "CompactResult",
    "ConflictPolicy",
    "DeadlineExceededError",
    "Event",
    "Failure",
    "FatalError",
    "FieldViolation",
    "Fields",
    "Hook",
    "HookClaim",
    "HookClosedError",
    "HookConflict",
    "HookConflictError",
    "HookDefinition",
    "HookInfo",
    "HookNotFoundError",
    "HookPayloadError",
    "HookSpec",
    "HookStatus",
    "HookdError",
    "IdReusedError",
    "InvalidArgumentError",
    "LimitExceededError",
    "Manual",
    "NonDeterminismError",
    "OpenRun",
    "OutsideWorkflowError",
    "Payload",
    "PermissionDeniedError",
    "QueueInfo",
    "QueueKind",
    "ReceivedPayload",
    "ResumeResult",
    "RetryPolicy",
    "RetryableError",
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
    "Step",
    "StepContext",
    "StepFailedError",
    "StreamInfo",
    "Tls",
    "UnauthenticatedError",
    "UnavailableError",
    "Verification",
    "WaitInfo",
    "WaitKind",
    "Webhook",
    "WebhookRequest",
    "WebhookResponse",
    "WebhookSpec",
    "Worker",
    "Workflow",
    "WorkflowHook",
    "WorkflowMetadata",
    "WorkflowRuleError",
    "WorkflowWebhook",
    "Writable",
    "ambient_client",
    "connect",
    "create_hook",
    "create_webhook",
    "define_hook",
    "get_hook_by_token",
    "get_run",
    "get_step_metadata",
    "get_workflow_metadata",
    "get_writable",
    "now",
    "random",
    "resume_hook",
    "set_attributes",
    "sleep",
    "start",
    "step",
    "unguarded",
    "uuid4",
    "verify",
    "workflow",
]
