"""How a run ends, for those who wait for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hookd import convert
from hookd.durations import duration
from hookd.enums import RunStatus
from hookd.errors import (
    DeadlineExceededError,
    HookdError,
    RunCancelledError,
    RunFailedError,
)
from hookd.retry import Backoff
from hookd.status import is_transient
from hookd.transport import WAIT_SLICE
from hookd.v1 import run_service_pb2 as pb

if TYPE_CHECKING:
    from hookd.transport import Transport
    from hookd.v1 import common_pb2

# How late the answer to a long poll may be before it counts as lost.
_ANSWER_GRACE = 5.0


async def run_ended(transport: Transport, run_id: str, timeout: float | None) -> common_pb2.Run:
    """Waits until a run has ended, also while the daemon cannot be reached.

    Raises:
        DeadlineExceededError: It has not ended within ``timeout`` seconds.
        RunNotFoundError: There is no such run.
    """
    end = None if timeout is None else time.monotonic() + timeout
    backoff = Backoff()
    while True:
        left = WAIT_SLICE if end is None else max(0.0, end - time.monotonic())
        portion = min(left, WAIT_SLICE)
        try:
            response = await transport.call(
                transport.runs.AwaitRun,
                pb.AwaitRunRequest(
                    project=transport.project, run_id=run_id, wait=duration(portion, "timeout")
                ),
                timeout=portion + _ANSWER_GRACE,
                retry=False,
            )
        except HookdError as error:
            if not (is_transient(error) or isinstance(error, DeadlineExceededError)):
                raise
            await backoff.wait()
        else:
            if convert.run_status(response.run.status).ended:
                return response.run
            backoff.reset()
        if end is not None and time.monotonic() >= end:
            raise DeadlineExceededError(f"Run {run_id} has not ended within {timeout:g} s")


def ending_error(run: common_pb2.Run) -> HookdError | None:
    """Gives what to raise for a run that ended badly; None for one that completed."""
    status = convert.run_status(run.status)
    if status is RunStatus.FAILED:
        failure = convert.failure(run.failure)
        return RunFailedError(failure.type, failure.message, failure.details, run_id=run.run_id)
    if status is RunStatus.CANCELLED:
        return RunCancelledError(run.cancel_reason, run_id=run.run_id)
    return None
