"""Client processes that tell what they see, line by line."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]
#: Seconds that a client may be silent.
PATIENCE = 60.0


class Clients:
    """Some processes of one script, and one queue of what they say.

    Args:
        script: a file beside this one.
        arguments: for each process its arguments.
    """

    def __init__(self, script: str, arguments: list[list[str]]) -> None:
        self._said: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
        self._ended = 0
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name(script)), *each],
                cwd=ROOT,
                env={"PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for each in arguments
        ]
        self._readers = [
            threading.Thread(target=self._read, args=(i,)) for i in range(len(arguments))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, number: int) -> None:
        pipe = self.processes[number].stdout
        assert pipe is not None
        for line in pipe:
            self._said.put((number, json.loads(line)))
        self._said.put((number, None))

    def next(self) -> tuple[int, dict[str, Any] | None]:
        """The next thing that one of them says; None from one that has ended."""
        number, said = self._said.get(timeout=PATIENCE)
        if said is None:
            self._ended += 1
        return number, said

    @property
    def all_ended(self) -> bool:
        """Whether all have said all they have to say."""
        return self._ended == len(self.processes)

    def tell(self, **facts: Any) -> None:
        """Says something to all of them."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(facts) + "\n")
            process.stdin.flush()

    def results(self) -> list[int]:
        """Their exit statuses, when they have ended."""
        return [process.wait(PATIENCE) for process in self.processes]

    def __enter__(self) -> Clients:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.kill()
            process.wait(PATIENCE)
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
        for reader in self._readers:
            reader.join(PATIENCE)
        for process in self.processes:
            process.stdin.close()  # type: ignore[union-attr]
            process.stdout.close()  # type: ignore[union-attr]
