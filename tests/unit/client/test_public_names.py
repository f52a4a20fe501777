"""The public surface changes on purpose or not at all."""

import inspect

import hookd

NAMES = [
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


def test_names():
    assert sorted(hookd.__all__) == sorted(NAMES)
    assert all(hasattr(hookd, name) for name in NAMES)


def test_everything_public_is_explained():
    silent = []
    for name in hookd.__all__:
        thing = getattr(hookd, name)
        if not inspect.getdoc(thing):
            silent.append(name)
        if inspect.isclass(thing):
            silent += [
                f"{name}.{member}"
                for member, value in vars(thing).items()
                if not member.startswith("_")
                and (inspect.isfunction(value) or isinstance(value, property))
                and not inspect.getdoc(value)
            ]
    assert silent == []


def test_the_methods_of_the_handles():
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(hookd.Client) == {
        "address", "backup", "claim_stream", "close", "closed", "compact", "create_hooks",
        "get_hook_by_token", "get_run", "list_hooks", "list_queues", "list_runs", "open_run",
        "project", "resume_hook", "start", "stats",
    }  # fmt: skip
    assert public(hookd.Run) == {
        "cancel", "chunks", "client", "close_stream", "complete", "create_hook", "create_webhook",
        "events", "fail", "hook",
        "hooks", "info", "keep_alive", "project", "readable", "return_value", "run_id",
        "started", "status", "streams", "waits", "watch", "write",
    }  # fmt: skip
    assert public(hookd.Hook) == {
        "dispose", "get_conflict", "hook_id", "info", "metadata", "payloads", "revision", "run",
        "token", "url",
    }  # fmt: skip
    assert public(hookd.Webhook) == public(hookd.Hook)
    assert public(hookd.WorkflowWebhook) == public(hookd.WorkflowHook) | {"url"}
    assert public(hookd.WebhookRequest) == {
        "body", "content_type", "headers", "json", "method", "params", "path", "query",
        "remote_address", "respond", "text",
    }  # fmt: skip
    assert set(hookd.verify.__all__) == {
        "Verification", "bearer", "github", "hmac_sha256", "slack", "standard_webhooks", "stripe",
    }  # fmt: skip
