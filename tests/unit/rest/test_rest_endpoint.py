"""What the endpoint answers when the daemon itself is wrong."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hookd_daemon.http.guard import Guard
from hookd_daemon.http.rest.endpoint import Endpoint


class _Broken:
    """Answers no call."""

    async def answer(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("the secret is 42")

    async def stream(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("the secret is 42")
        yield


async def _ask(path: str) -> tuple[int, dict[str, Any]]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": path.encode(),
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    endpoint = Endpoint(_Broken(), Guard(lambda: False, "127.0.0.1"))  # type: ignore[arg-type]
    await endpoint(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(m.get("body", b"") for m in sent[1:]))


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/runs/r/events:watch"])
async def test_what_nobody_foresaw_is_said_without_a_word_of_it(path: str) -> None:
    status, body = await _ask(path)
    assert status == 500
    assert body["error"]["code"] == "INTERNAL"
    assert "42" not in json.dumps(body)
