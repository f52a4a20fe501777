"""The processes of the demo: the daemon, and the shops that use it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from stage import FailedError, Stage

HERE = Path(__file__).parent
PATIENCE = 30.0


def environment(**more: str) -> dict[str, str]:
    """The environment without the settings of some other hookd."""
    return {k: v for k, v in os.environ.items() if not k.startswith("HOOKD_")} | more


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Daemon:
    """A ``hookd serve`` that can be killed and started again.

    Args:
        folder: where its data and its log are.
        stage: where to say what happens.
    """

    def __init__(self, folder: Path, stage: Stage) -> None:
        self._folder = folder
        self._stage = stage
        self._process: asyncio.subprocess.Process | None = None
        self.address = "127.0.0.1:0"

    async def start(self) -> None:
        """Starts it; the second time on the same port, with the same data."""
        read_end, write_end = os.pipe()
        with (self._folder / "hookd.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                Path(sys.executable).with_name("hookd"),
                "serve",
                f"--data-dir={self._folder / 'data'}",
                f"--listen={self.address}",
                "--http=",
                f"--ready-fd={write_end}",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[write_end],
                env=environment(),
                start_new_session=True,
            )
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            reading = asyncio.create_task(asyncio.to_thread(pipe.readline))
            done, _ = await asyncio.wait([reading], timeout=PATIENCE)
            if not done:
                await _end(self._process)  # This ends the reading, too.
            line = await reading
        if not line:
            raise FailedError(f"the daemon did not start:\n{self.log()}")
        self.address = json.loads(line)["grpc"]
        pid = self._process.pid
        self._stage.says("hookd", f"process {pid} serves gRPC on {self.address}")

    async def kill(self) -> int:
        """Kills it with SIGKILL; gives the exit status."""
        if self._process is None:
            raise FailedError("there is no daemon to kill")
        self._process.send_signal(signal.SIGKILL)
        return await self._process.wait()

    def log(self) -> str:
        """The last lines of its log."""
        text = (self._folder / "hookd.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-15:])

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._process is not None:
            await _end(self._process)


class Shop:
    """A client process: ``shops.py`` in one of its roles.

    Every line that it prints is JSON: something it says, or a fact that the
    demo checks later.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, stage: Stage) -> None:
        self.name = name
        if process.stdin is None or process.stdout is None:
            raise ValueError("the process needs pipes")
        self._process = process
        self._input, self._output = process.stdin, process.stdout
        self._stage = stage
        self._facts: dict[str, asyncio.Future[Any]] = {}
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, name: str, role: str, order: int, daemon: Daemon, stage: Stage) -> Shop:
        """Starts a process."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            HERE / "shops.py",
            role,
            name,
            str(order),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment(HOOKD_ADDRESS=daemon.address),
            start_new_session=True,
        )
        return cls(name, process, stage)

    @property
    def alive(self) -> bool:
        """Whether the process is still the one that was started."""
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def _listen(self) -> None:
        async for raw in self._output:
            line = json.loads(raw)
            if "say" in line:
                self._stage.says(self.name, line["say"])
            else:
                self._future(line["fact"]).set_result(line["value"])
        for name, future in self._facts.items():
            if not future.done():
                future.set_exception(FailedError(f"{self.name} ended and never told: {name}"))

    def _future(self, name: str) -> asyncio.Future[Any]:
        if name not in self._facts:
            self._facts[name] = asyncio.get_running_loop().create_future()
        return self._facts[name]

    async def fact(self, name: str) -> Any:
        """Waits until the process tells a fact."""
        future = self._future(name)
        if self._listening.done() and not future.done():
            raise FailedError(f"{self.name} ended and never told: {name}")
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(future)

    def knows(self, name: str) -> bool:
        """Whether the process has told a fact already."""
        return self._future(name).done()

    async def go(self) -> None:
        """Lets the process go on: it waits for a line."""
        self._input.write(b"go\n")
        await self._input.drain()

    async def end(self) -> int:
        """Waits for the end of the process; gives its exit status."""
        async with asyncio.timeout(PATIENCE):
            await self._listening
            return await self._process.wait()

    async def close(self) -> None:
        """Ends the process, if it has not ended."""
        await _end(self._process)
        with suppress(FailedError, asyncio.CancelledError):
            await self._listening
        for future in self._facts.values():
            if future.done() and not future.cancelled():
                future.exception()  # Whoever did not ask needs no warning.
