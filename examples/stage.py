"""What the examples run on: a daemon and workers of their own. There is nothing to copy here."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType

from hookd import ambient_client

_PATIENCE = 60.0
_LOOK_S = 0.02
_LAST_LINES = 40
_ROOT = Path(__file__).parents[1]


def play(
    show: Callable[[], Coroutine[object, object, None]],
    workflows: ModuleType,
    *,
    workers: int = 1,
) -> None:
    """Plays an example and ends the program: with status 0 if all went well.

    Args:
        show: what to show. The functions of ``hookd`` that need no client
            reach the daemon of the example.
        workflows: what the workers serve.
        workers: how many worker processes there are.
    """
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(asyncio.run(_play(show, workflows.__name__, workers)))
    sys.exit(130)


async def set_secret(name: str, secret: str) -> None:
    """Gives a secret to the daemon of the example: ``hookd secrets set NAME``."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("hookd"),
        "secrets",
        "set",
        name,
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await process.communicate(secret.encode())
    if process.returncode:
        raise RuntimeError(f"the secret {name} cannot be set")


async def _play(
    show: Callable[[], Coroutine[object, object, None]], module: str, workers: int
) -> int:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    for name in [name for name in os.environ if name.startswith("HOOKD_")]:
        del os.environ[name]  # These belong to some other daemon.
    with tempfile.TemporaryDirectory(prefix="hookd-example-") as folder:
        log = Path(folder) / "log"
        try:
            async with AsyncExitStack() as stack:
                processes = [await stack.enter_async_context(_daemon(Path(folder) / "data", log))]
                for _ in range(workers):
                    worker = _process("hookctl", "worker", module, log=log)
                    processes.append(await stack.enter_async_context(worker))
                await _shown(show, processes, workers)
                await ambient_client().close()
        except Exception as error:  # noqa: BLE001 - the example failed, whatever it is
            lines = log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
            print("\n".join(lines), file=sys.stderr)
            print(f"The example failed: {type(error).__name__}: {error}", file=sys.stderr)
            return 1
    return 0


async def _shown(
    show: Callable[[], Coroutine[object, object, None]], processes: list[Process], workers: int
) -> None:
    """Shows it once all workers are connected, for as long as all processes are there."""

    async def connected_show() -> None:
        while await _connected() < workers:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_LOOK_S)
        await show()

    showing = asyncio.create_task(connected_show())
    ends = [asyncio.create_task(process.wait()) for process in processes]
    try:
        async with asyncio.timeout(_PATIENCE):
            await asyncio.wait([showing, *ends], return_when=asyncio.FIRST_COMPLETED)
        if not showing.done():
            raise RuntimeError("the daemon or a worker has ended")
        showing.result()
    finally:
        for task in (showing, *ends):
            task.cancel()
        await asyncio.wait([showing, *ends])


async def _connected() -> int:
    """How many workers the daemon knows."""
    queues = await ambient_client().list_queues()
    return len({name for queue in queues for name in queue.workers})


@asynccontextmanager
async def _daemon(data: Path, log: Path) -> AsyncIterator[Process]:
    """Runs a daemon on ports that the system picks; HOOKD_ADDRESS names one of them then."""
    read_end, write_end = os.pipe()
    flags = [f"--data-dir={data}", "--listen=127.0.0.1:0", "--http=127.0.0.1:0"]
    flags += [f"--ready-fd={write_end}"]
    async with _process("hookd", "serve", *flags, log=log, pass_fds=[write_end]) as process:
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            line = await asyncio.to_thread(pipe.readline)
        if not line:
            raise RuntimeError("the daemon did not start")
        os.environ["HOOKD_ADDRESS"] = json.loads(line)["grpc"]
        os.environ["HOOKD_DATA_DIR"] = str(data)  # For `hookd secrets`.
        yield process


@asynccontextmanager
async def _process(
    program: str, *words: str, log: Path, pass_fds: list[int] | None = None
) -> AsyncIterator[Process]:
    """Runs a program of this installation; it must end well when it is asked to."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name(program),
            *words,
            cwd=_ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=pass_fds or [],
            start_new_session=True,
        )
    try:
        yield process
        process.terminate()
        async with asyncio.timeout(_PATIENCE):
            status = await process.wait()
        if status:
            raise RuntimeError(f"{program} {words[0]} ended with status {status}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
