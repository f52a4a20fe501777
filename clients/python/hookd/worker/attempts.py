"""Calls the function of a step, and tells what came of it."""

from __future__ import annotations

import asyncio
import contextvars
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hookd.durations import duration
from hookd.errors import InvalidArgumentError
from hookd.v1 import worker_service_pb2 as pb
from hookd.workflows.errors import FatalError, RetryableError
from hookd.workflows.failures import to_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hookd.v1 import common_pb2
    from hookd.worker.threads import Threads
    from hookd.workflows.definition import Step

# Raised in a step, these are meant for whoever runs the worker.
_NOT_OURS = (KeyboardInterrupt, GeneratorExit)


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt has failed."""

    error: BaseException
    final: bool
    """Another attempt would fail as well."""
    retry_after: float | None = None
    """When to try again, in seconds; None to leave it to the policy."""

    def to_wire(self) -> pb.StepFailure:
        """Gives what is reported."""
        failure = pb.StepFailure(failure=to_failure(self.error), final=self.final)
        if self.retry_after is not None:
            failure.retry_after.CopyFrom(duration(self.retry_after, "retry_after"))
        return failure


async def execute(
    step: Step[..., Any], input: common_pb2.Payload, threads: Threads
) -> common_pb2.Payload | Failed:
    """Executes a step once, in the context of the caller.

    Args:
        step: The step.
        input: Its arguments.
        threads: Where a function is called that is not asynchronous.

    Raises:
        asyncio.CancelledError: The caller was cancelled. A function that runs
            in a thread may go on there.
    """
    # What does not fit now will not fit the next time either.
    try:
        args, kwargs = step.signature.decode_call(input)
    except InvalidArgumentError as unfit:
        return Failed(unfit, final=True)
    value, error = await _called(step, args, kwargs, threads)
    if error is not None:
        return Failed(
            error,
            final=isinstance(error, FatalError),
            retry_after=error.delay() if isinstance(error, RetryableError) else None,
        )
    try:
        return step.signature.encode_result(value)
    except InvalidArgumentError as unfit:
        return Failed(unfit, final=True)


async def _called(
    step: Step[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], threads: Threads
) -> tuple[Any, BaseException | None]:
    """Calls the function of a step; gives what it returned, or what it raised."""
    if not step.is_async:
        context = contextvars.copy_context()
        job = threads.run(partial(context.run, _call, step.function, args, kwargs))
        try:
            return await job.done
        except asyncio.CancelledError:
            threads.give_up(job)
            raise
    try:
        return await step.function(*args, **kwargs), None
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return None, error  # It has cancelled itself.
    except _NOT_OURS:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, the step has failed
        return None, error


def _call(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Any, BaseException | None]:
    try:
        return function(*args, **kwargs), None
    except BaseException as error:  # noqa: BLE001 - whatever it is, the step has failed
        return None, error
