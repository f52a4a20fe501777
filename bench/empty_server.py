"""A ``grpc.aio`` server with one handler that does nothing; see ``servers``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

import grpc
import grpc.aio


async def _serve(ready_fd: int) -> None:
    async def answer(_request: bytes, _context: Any) -> bytes:
        return b""

    handlers = {"CreateHook": grpc.unary_unary_rpc_method_handler(answer)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("hookd.v1.HookService", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with os.fdopen(ready_fd, "w") as pipe:
        pipe.write(json.dumps({"grpc": f"127.0.0.1:{port}"}) + "\n")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1].partition("=")[2])))
