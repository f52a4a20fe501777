"""From statuses to exceptions, each with its facts."""

import asyncio
import copy
import pickle
from datetime import UTC, datetime

import grpc
import hookd
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from hookd import HookStatus, RunStatus
from hookd.status import error_from_item
from hookd.v1 import common_pb2, errors_pb2

from tests.unit.client.fake import refuse

Code = grpc.StatusCode
THEN = datetime(2026, 1, 2, tzinfo=UTC)


def conflict() -> errors_pb2.HookConflict:
    claimed = Timestamp()
    claimed.FromDatetime(THEN)
    return errors_pb2.HookConflict(
        token="tok\0en",
        run_id="owner",
        hook_id="h1",
        run_status=common_pb2.RUN_STATUS_COMPLETED,
        workflow="billing",
        claimed_at=claimed,
        revision=7,
    )


async def caught(daemon, client, *args, **options):
    async def answer(request, context):
        await refuse(context, *args, **options)

    daemon.on(GetRun=answer)
    try:
        await client.get_run("r").info()
    except hookd.HookdError as error:
        return error
    return None


async def test_conflict(daemon, client):
    error = await caught(
        daemon, client, Code.ALREADY_EXISTS, "HOOK_CONFLICT", {"run_id": "owner"}, conflict(),
        message='Hook token "tok" is already in use by another workflow (run owner)',
    )  # fmt: skip
    assert type(error) is hookd.HookConflictError
    assert (error.token, error.conflicting_run_id, error.hook_id) == ("tok\0en", "owner", "h1")
    assert error.run_status is RunStatus.COMPLETED
    assert (error.workflow, error.claimed_at, error.revision) == ("billing", THEN, 7)
    assert error.reason == "HOOK_CONFLICT"
    assert "already in use by another workflow (run owner)" in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


@pytest.mark.parametrize(
    ("code", "reason", "metadata", "kind", "facts"),
    [
        (Code.NOT_FOUND, "HOOK_NOT_FOUND", {"token": "t"}, hookd.HookNotFoundError, {"token": "t"}),
        (
            Code.NOT_FOUND,
            "HOOK_NOT_FOUND",
            {"run_id": "r", "hook_id": "h"},
            hookd.HookNotFoundError,
            {"token": None, "run_id": "r", "hook_id": "h"},
        ),
        (
            Code.NOT_FOUND,
            "RUN_NOT_FOUND",
            {"run_id": "r"},
            hookd.RunNotFoundError,
            {"run_id": "r"},
        ),
        (Code.ALREADY_EXISTS, "RUN_EXISTS", {"run_id": "r"}, hookd.RunExistsError, {"run_id": "r"}),
        (
            Code.FAILED_PRECONDITION,
            "RUN_NOT_ACTIVE",
            {"run_id": "r", "status": "cancelled"},
            hookd.RunNotActiveError,
            {"run_id": "r", "status": RunStatus.CANCELLED},
        ),
        (
            Code.FAILED_PRECONDITION,
            "RUN_NOT_ACTIVE",
            {"run_id": "r", "status": "evaporated"},
            hookd.RunNotActiveError,
            {"status": RunStatus.UNKNOWN},
        ),
        (Code.INVALID_ARGUMENT, "ID_REUSED", {"x": "y"}, hookd.IdReusedError, {}),
        (
            Code.RESOURCE_EXHAUSTED,
            "LIMIT_EXCEEDED",
            {"limit": "streams"},
            hookd.LimitExceededError,
            {"limit": "streams"},
        ),
        (Code.UNAUTHENTICATED, "UNAUTHENTICATED", {}, hookd.UnauthenticatedError, {}),
        (
            Code.PERMISSION_DENIED,
            "PERMISSION_DENIED",
            {"role": "service"},
            hookd.PermissionDeniedError,
            {},
        ),
        (Code.ABORTED, "STALE_TURN", {}, hookd.HookdError, {}),
        (Code.ABORTED, "SOMETHING_NEW", {"a": "b"}, hookd.HookdError, {}),
    ],
)
async def test_reasons(daemon, client, code, reason, metadata, kind, facts):
    error = await caught(daemon, client, code, reason, metadata)
    assert type(error) is kind
    assert (error.reason, error.metadata, str(error)) == (reason, metadata, "no")
    assert {name: getattr(error, name) for name in facts} == facts


async def test_bad_request(daemon, client):
    violation = error_details_pb2.BadRequest.FieldViolation(field="ttl", description="too short")
    error = await caught(
        daemon, client, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", {},
        error_details_pb2.BadRequest(field_violations=[violation]),
    )  # fmt: skip
    assert type(error) is hookd.InvalidArgumentError
    assert error.violations == (hookd.FieldViolation("ttl", "too short"),)


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (Code.INVALID_ARGUMENT, hookd.InvalidArgumentError, "INVALID_ARGUMENT"),
        (Code.RESOURCE_EXHAUSTED, hookd.LimitExceededError, "RESOURCE_EXHAUSTED"),
        (Code.UNIMPLEMENTED, hookd.HookdError, "UNIMPLEMENTED"),
        (Code.UNAUTHENTICATED, hookd.UnauthenticatedError, "UNAUTHENTICATED"),
        (Code.PERMISSION_DENIED, hookd.PermissionDeniedError, "PERMISSION_DENIED"),
        (Code.INTERNAL, hookd.HookdError, "INTERNAL"),
    ],
)
async def test_statuses_without_a_reason(daemon, client, code, kind, reason):
    error = await caught(daemon, client, code)
    assert type(error) is kind
    assert error.reason == reason


async def test_details_of_somebody_else_are_left_alone(daemon, client):
    other = error_details_pb2.ErrorInfo(domain="proxy", reason="RUN_NOT_FOUND")
    error = await caught(daemon, client, Code.INTERNAL, "", None, other)
    assert type(error) is hookd.HookdError

    async def broken(request, context):
        await context.abort(Code.INTERNAL, "x", (("grpc-status-details-bin", b"\xff\xff"),))

    daemon.on(GetRun=broken)
    with pytest.raises(hookd.HookdError, match="x"):
        await client.get_run("r").info()


def test_items_of_a_batch():
    item = errors_pb2.Error(
        code=6, reason=errors_pb2.ERROR_REASON_HOOK_CONFLICT, message="m", conflict=conflict()
    )
    error = error_from_item(item)
    assert isinstance(error, hookd.HookConflictError)
    assert error.conflicting_run_id == "owner"
    newer = error_from_item(errors_pb2.Error(code=9, reason=99, message="m"))  # type: ignore[arg-type]
    assert (type(newer), newer.reason) == (hookd.HookdError, "FAILED_PRECONDITION")


@pytest.mark.parametrize(
    "error",
    [
        hookd.HookConflictError("t", "r", workflow="w", claimed_at=THEN),
        hookd.RunNotActiveError("r", RunStatus.FAILED),
        hookd.HookClosedError("r", "h", HookStatus.CLOSED, RunStatus.CANCELLED),
        hookd.RunFailedError("ValueError", "bad", {"a": 1}, run_id="r"),
        hookd.DeadlineExceededError("late"),
        hookd.InvalidArgumentError.of("f", "d"),
    ],
)
def test_errors_survive_pickle_and_copy(error):
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_the_family():
    assert str(hookd.HookConflictError("t", "r")) == (
        'Hook token "t" is already in use by another workflow (run r)'
    )
    assert issubclass(hookd.DeadlineExceededError, TimeoutError)
    assert issubclass(hookd.InvalidArgumentError, ValueError)
    errors = [getattr(hookd, name) for name in hookd.__all__ if name.endswith("Error")]
    # These two say something about a user's step, and nothing about hookd.
    of_users = {"FatalError", "RetryableError"}
    assert {e.__name__ for e in errors if not issubclass(e, hookd.HookdError)} <= of_users
    assert not issubclass(hookd.HookdError, asyncio.CancelledError)
