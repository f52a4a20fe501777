"""Serves with the Rust listener: ``serve.py serve …`` is ``hookd serve …``, and there is ``empty``.

``PYTHONPATH`` has to name the folder of the built extension; see the README.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from hookd_daemon import cli, server
from rust_server import Crossing, RustServer

EMPTY = "/hookd.v1.HookService/CreateHook"


async def _empty(ready_fd: int) -> None:
    """The listener's ceiling: a handler that answers with no bytes."""

    async def answer(_request: bytes, _context: Any) -> bytes:
        return b""

    crossing = Crossing("127.0.0.1", 0, {EMPTY: answer})
    with os.fdopen(ready_fd, "w") as pipe:
        pipe.write(json.dumps({"grpc": f"127.0.0.1:{crossing.port}"}) + "\n")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    crossing.stop()


if __name__ == "__main__":
    if sys.argv[1] == "empty":
        asyncio.run(_empty(int(sys.argv[2].partition("=")[2])))
    else:
        server.GrpcServer = RustServer  # type: ignore[misc]
        cli.main()
