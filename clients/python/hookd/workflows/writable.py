"""Writing to the streams of a run, from its code and from its steps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from hookd import validate
from hookd.batches import batches
from hookd.payload import encode
from hookd.v1 import worker_service_pb2 as pb
from hookd.workflows.awaitables import Done
from hookd.workflows.context import current_or_none
from hookd.workflows.errors import OutsideWorkflowError
from hookd.workflows.matching import DEFAULT_NAMESPACE
from hookd.workflows.step_context import StepContext, current_step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from hookd.v1.common_pb2 import Payload
    from hookd.workflows.runtime import Runtime


class Writable(Protocol):
    """A stream of the run, to write to. Made by ``get_writable``."""

    def write(self, *chunks: Any) -> Awaitable[None]:
        """Appends chunks, in this order and once. Await it.

        Raises:
            InvalidArgumentError: A chunk cannot be carried.
        """

    def close(self) -> Awaitable[None]:
        """Says that no more chunks will come. Await it."""

    def write_sync(self, *chunks: Any) -> None:
        """Appends chunks, like ``write``, from a step that is not asynchronous."""

    def close_sync(self) -> None:
        """Says that no more chunks will come, from a step that is not asynchronous."""


class WorkflowWritable:
    """A stream, as the code of its run has it: what is written goes out with the turn."""

    def __init__(self, runtime: Runtime, namespace: str) -> None:
        self._runtime = runtime
        self._namespace = namespace

    def write(self, *chunks: Any) -> Done:
        """Appends chunks; it is done when the call returns."""
        self.write_sync(*chunks)
        return Done()

    def close(self) -> Done:
        """Says that no more chunks will come; it is done when the call returns."""
        self.close_sync()
        return Done()

    def write_sync(self, *chunks: Any) -> None:
        """Appends chunks."""
        self._runtime.check_here("write()")
        encoded = [encode(chunk, f"chunks[{at}]") for at, chunk in enumerate(chunks)]
        for batch in batches(encoded, lambda chunk: len(chunk.data)):
            self._give(batch)

    def close_sync(self) -> None:
        """Says that no more chunks will come."""
        self._runtime.check_here("close()")
        self._give((), close=True)

    def _give(self, chunks: Sequence[Payload], *, close: bool = False) -> None:
        command = pb.WriteChunksCommand(namespace=self._namespace, chunks=chunks, close=close)
        name = self._namespace or DEFAULT_NAMESPACE
        self._runtime.commands.give(pb.Command(write_chunks=command), name=name)


class StepWritable:
    """A stream, as a step has it: what is written is there when it is done.

    A step that is tried again writes again.
    """

    def __init__(self, step: StepContext, namespace: str) -> None:
        self._step = step
        self._namespace = namespace

    async def write(self, *chunks: Any) -> None:
        """Appends chunks."""
        await self._on_loop(lambda: self._write(chunks))

    async def close(self) -> None:
        """Says that no more chunks will come."""
        await self._on_loop(self._close)

    def write_sync(self, *chunks: Any) -> None:
        """Appends chunks, from a thread."""
        self._wait(lambda: self._write(chunks))

    def close_sync(self) -> None:
        """Says that no more chunks will come, from a thread."""
        self._wait(self._close)

    async def _write(self, chunks: tuple[Any, ...]) -> None:
        await self._step.run.write(*chunks, namespace=self._namespace)

    async def _close(self) -> None:
        await self._step.run.close_stream(self._namespace)

    # The client lives on the worker's loop, and a step may run elsewhere.
    async def _on_loop(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        loop = self._step.loop
        if asyncio.get_running_loop() is loop:
            await work()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))

    def _wait(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        loop = self._step.loop
        if asyncio._get_running_loop() is loop:
            raise RuntimeError(
                "write_sync() and close_sync() are for steps that are not asynchronous: "
                "use `await writer.write(…)` here"
            )
        asyncio.run_coroutine_threadsafe(work(), loop).result()


def get_writable(namespace: str | None = None) -> Writable:
    """Gives a stream of the run whose code, or one of whose steps, is running here.

    Args:
        namespace: Which stream; the default one when None.

    Raises:
        OutsideWorkflowError: No workflow and no step is running here.
    """
    name = validate.text(namespace or "", "namespace")
    runtime = current_or_none()
    if runtime is not None:
        return WorkflowWritable(runtime, name)
    step = current_step.get()
    if step is None:
        raise OutsideWorkflowError(
            "get_writable() can only be called in the code of a workflow, or in a step: "
            "elsewhere there is run.write()"
        )
    return StepWritable(step, name)
