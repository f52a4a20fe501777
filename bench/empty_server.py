"""The daemon's gRPC server with handlers that do nothing; see ``servers``.

The options, the garbage collector and the switch interval are those of
``hookd_daemon``: what is left between the two is what hookd does.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from hookd_daemon.api.transport import MAX_MESSAGE_BYTES
from hookd_daemon.server import GC_THRESHOLD, SWITCH_INTERVAL_S

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 100_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


async def _answer(_request: bytes, _context: Any) -> bytes:
    return b""


async def _answer_each(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    async for _ in requests:
        yield b""


async def _serve(ready_fd: int) -> None:
    handlers = {
        "CreateHook": grpc.unary_unary_rpc_method_handler(_answer),
        "CreateHooks": grpc.unary_unary_rpc_method_handler(_answer),
        "ClaimStream": grpc.stream_stream_rpc_method_handler(_answer_each),
    }
    runs = {"StartRun": grpc.unary_unary_rpc_method_handler(_answer)}
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("hookd.v1.HookService", handlers),
            grpc.method_handlers_generic_handler("hookd.v1.RunService", runs),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    with os.fdopen(ready_fd, "w") as pipe:
        pipe.write(json.dumps({"grpc": f"127.0.0.1:{port}"}) + "\n")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(0)


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    asyncio.run(_serve(int(sys.argv[1].partition("=")[2])))
