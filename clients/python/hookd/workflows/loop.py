"""The event loop of workflow code: deterministic, and without a world outside.

It runs what is ready, in the order in which it became ready, until nothing is.
Then it stops; what makes something ready again is the next event of the run's
log. Its time is that of the log, and its timers are durable ones.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVarTuple, Unpack
from weakref import WeakSet

from hookd.workflows import guards, ordering, places
from hookd.workflows.errors import WorkflowRuleError
from hookd.workflows.refusals import RefusingLoop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextvars import Context

    from hookd.workflows.places import Place
    from hookd.workflows.runtime import Runtime

_Ts = TypeVarTuple("_Ts")

# What `asyncio.sleep` asks the loop to call.
_END_OF_SLEEP = getattr(asyncio.futures, "_set_result_unless_cancelled", None)
_FEW_TASKS = 64


def _next_hash(future: asyncio.Future[Any]) -> int:
    loop = future.get_loop()
    return loop.next_hash() if isinstance(loop, WorkflowLoop) else object.__hash__(future)


class WorkflowTask(asyncio.Task[Any]):
    """A task whose place in a set is the same in each process.

    Its number is given out when it is made, because a new task is put into a
    set at once. It is salted by the run, because that set is everybody's.
    """

    _hash: int

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            self._hash = _next_hash(self)
            return self._hash


class WorkflowFuture(asyncio.Future[Any]):
    """A future whose place in a set is the same in each process."""

    _hash: int

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            self._hash = _next_hash(self)
            return self._hash


class DeadlineHandle(asyncio.TimerHandle):
    """What is to be called at a time.

    Attributes:
        timer: The durable timer behind it; None when there is none.
    """

    __slots__ = ("timer",)

    timer: Any


class WorkflowLoop(RefusingLoop):
    """The loop of one execution. It can run in any thread, in one at a time."""

    def __init__(self, runtime: Runtime, salt: int) -> None:
        ordering.install(WorkflowLoop)
        self.runtime = runtime
        self._hashes = salt
        self._names = 0
        self._ready: deque[asyncio.Handle] = deque()
        # Strong references: asyncio keeps none, and a task that waits for
        # nothing but an event of the log would be collected.
        self._tasks: list[tuple[asyncio.Task[Any], Place | None]] = []
        self._prune_at = _FEW_TASKS
        self._generators: WeakSet[AsyncGenerator[Any, Any]] = WeakSet()
        self._left: list[AsyncGenerator[Any, Any]] = []
        self._task_factory: Any = None
        self._closed = False
        self.thread: int | None = None
        """The thread that runs it; None when none does."""

    # Running

    @property
    def idle(self) -> bool:
        """Whether nothing is ready."""
        return not self._ready

    def run_until_quiet(self, until: asyncio.Future[Any]) -> None:
        """Runs what is ready until nothing is, or until this future is done.

        Raises:
            KeyboardInterrupt: The code has raised it.
            SystemExit: The code has raised it.
        """
        outer = asyncio._get_running_loop()
        task = None if outer is None else asyncio.current_task(outer)
        hooks = sys.get_asyncgen_hooks()
        if outer is not None and task is not None:
            asyncio.tasks._leave_task(outer, task)
        sys.set_asyncgen_hooks(firstiter=self._generators.add, finalizer=self._generator_left)
        asyncio._set_running_loop(self)
        self.thread = threading.get_ident()
        ready = self._ready
        try:
            with guards.workflow_code():
                while ready and not until.done():
                    handle = ready.popleft()
                    if not handle.cancelled():
                        handle._run()
                    # An exception in it would keep all frames alive.
                    del handle
        finally:
            self.thread = None
            asyncio._set_running_loop(outer)
            sys.set_asyncgen_hooks(*hooks)
            if outer is not None and task is not None:
                asyncio.tasks._enter_task(outer, task)

    def is_running(self) -> bool:
        """Whether it runs."""
        return self.thread is not None

    def is_closed(self) -> bool:
        """Whether it was thrown away."""
        return self._closed

    def get_debug(self) -> bool:
        """It has no debug mode."""
        return False

    def abandon(self) -> list[object]:
        """Throws away all that is ready, and gives what is suspended: it must not go on."""
        self._closed = True
        self._ready.clear()
        suspended: list[object] = [task for task, _ in self._tasks if not task.done()]
        suspended += self._generators
        suspended += self._left
        self._tasks.clear()
        self._left.clear()
        return suspended

    # What is called

    def call_soon(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Calls something when what is ready now has run."""
        handle = asyncio.Handle(callback, args, self, context)
        if not self._closed:
            self._ready.append(handle)
        return handle

    def time(self) -> float:
        """Gives the time of the log, in seconds."""
        return self.runtime.time()

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Calls something after some time: a durable timer."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Calls something at a time: a durable timer."""
        if callback is _END_OF_SLEEP:
            raise WorkflowRuleError(
                "Workflow code cannot use asyncio.sleep(), but for asyncio.sleep(0)",
                call="asyncio.sleep()",
                hint="use `await hookd.sleep(…)`, which is durable",
            )
        handle = DeadlineHandle(when, callback, args, self, context)
        handle.timer = None
        if self._closed:
            return handle
        if when <= self.time():
            self._ready.append(handle)
        else:
            self.runtime.start_deadline(handle)
        return handle

    def make_ready(self, handle: asyncio.Handle) -> None:
        """Has a handle run whose time has come."""
        self._ready.append(handle)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, DeadlineHandle) and not self._closed:
            self.runtime.cancel_deadline(handle)

    # Tasks and futures

    def next_hash(self) -> int:
        """Gives the next number for what is put into sets."""
        self._hashes += 1
        return self._hashes

    def create_future(self) -> asyncio.Future[Any]:
        """Makes a future."""
        return WorkflowFuture(loop=self)

    def create_task(
        self,
        coro: Any,
        *,
        name: str | None = None,
        context: Context | None = None,
        **kwargs: Any,
    ) -> asyncio.Task[Any]:
        """Makes a task, with a name that is the same in each replay."""
        ordering.check_order(ordering.caller())
        # Some versions of asyncio set a name afterwards: count all.
        self._names += 1
        if name is None:
            name = f"Task-{self._names}"
        if self._task_factory is None:
            task: asyncio.Task[Any] = WorkflowTask(
                coro, loop=self, name=name, context=context, **kwargs
            )
        else:
            if context is not None:
                kwargs["context"] = context
            task = self._task_factory(self, coro, **kwargs)
            if isinstance(task, asyncio.Task):
                task.set_name(name)
        self._keep(task, places.here())
        return task

    def set_task_factory(self, factory: Any) -> None:
        """Has tasks made by this function; None for the usual way."""
        if factory is not None and not callable(factory):
            raise TypeError("task factory must be a callable or None")
        self._task_factory = factory

    def get_task_factory(self) -> Any:
        """Gives what makes tasks; None for the usual way."""
        return self._task_factory

    def unfinished(self) -> list[asyncio.Task[Any]]:
        """Gives the tasks that are not done, in the order in which they were made."""
        return [task for task, _ in self._tasks if not task.done()]

    def made(self) -> list[tuple[asyncio.Task[Any], Place | None]]:
        """Gives the tasks that are kept, and where they were made; some are done."""
        return list(self._tasks)

    def _keep(self, task: asyncio.Task[Any], place: Place | None) -> None:
        if len(self._tasks) >= self._prune_at:
            self._tasks = [kept for kept in self._tasks if not kept[0].done()]
            self._prune_at = max(_FEW_TASKS, 2 * len(self._tasks))
        self._tasks.append((task, place))

    # What goes wrong

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Takes an exception that nobody handled. The collector calls it, too, in any thread."""
        self.runtime.note(context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Takes an exception that nobody handled."""
        self.call_exception_handler(context)

    def get_exception_handler(self) -> None:
        """It has none: what nobody handled goes to the worker."""
        return

    def _generator_left(self, generator: AsyncGenerator[Any, Any]) -> None:
        # When an object is dropped is nothing that a log tells: so what a
        # generator does on the way out is not done now, nor ever.
        if self._closed:
            return
        self._left.append(generator)
        self.runtime.note({"message": _left_behind(generator)})


def _left_behind(generator: Any) -> str:
    code = generator.ag_code
    return (
        f"The async generator {generator.__qualname__} ({code.co_filename}:{code.co_firstlineno}) "
        "was left before its end, and what it does on the way out will not be done: "
        "use `async with contextlib.aclosing(…)`"
    )
