"""Sends requests to webhooks as services do, also such as no library would send."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse

from google.protobuf.json_format import Parse
from hookd.v1.common_pb2 import Hook
from hookd.v1.hook_service_pb2 import HookRef, ReceivePayloadsRequest
from hookd.v1.webhook_pb2 import Webhook, WebhookRequest
from hookd_daemon.secrets.files import SecretFiles

from tests.support.api import Api, unique
from tests.support.daemon import PATIENCE, Daemon

MEDIA_TYPE = "application/vnd.hookd.webhook-request+json"


@dataclass(frozen=True)
class Reply:
    """What a sender was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def reply_of(response: HTTPResponse) -> Reply:
    """Reads a response."""
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, response.read())


def send(
    url: str,
    body: bytes | Iterable[bytes] = b"{}",
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    path: str = "",
) -> Reply:
    """Sends a request to the URL of a hook, with more path after it."""
    host, _, target = url.removeprefix("http://").partition("/")
    connection = HTTPConnection(host, timeout=PATIENCE)
    try:
        connection.request(method, f"/{target}{path}", body=body, headers=dict(headers or {}))
        return reply_of(connection.getresponse())
    finally:
        connection.close()


def raw(daemon: Daemon, data: bytes) -> bytes:
    """Sends bytes, and gives all that comes back until the daemon closes."""
    with connect(daemon) as link:
        link.sendall(data)
        return drained(link)


def connect(daemon: Daemon) -> socket.socket:
    """A connection to the daemon's HTTP port."""
    host, _, port = daemon.http.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


def drained(link: socket.socket) -> bytes:
    """All that comes until the other end closes."""
    parts = []
    while part := link.recv(65536):
        parts.append(part)
    return b"".join(parts)


def webhook(
    api: Api, token: str | None = None, how: Webhook | None = None, run_id: str = ""
) -> Hook:
    """A hook of a run, a new one unless it is named, that is reached by a URL."""
    run_id = run_id or api.start().run.run_id
    return api.claim(run_id, token or unique("token"), webhook=how or Webhook()).hook


def requests(api: Api, hook: Hook, count: int) -> list[WebhookRequest]:
    """The first requests that a hook has received; waits for them."""
    return [
        Parse(text, WebhookRequest()) for text in api.payloads(hook.run_id, hook.hook_id, count)
    ]


def count(api: Api, hook: Hook) -> int:
    """How many payloads a hook has."""
    return api.hook_by_id(hook.run_id, hook.hook_id).payload_count


def payload_ids(api: Api, hook: Hook, expected: int) -> list[str]:
    """The ids of the payloads of a hook."""
    ref = HookRef(run_id=hook.run_id, hook_id=hook.hook_id)
    stream = api.hooks.ReceivePayloads(
        ReceivePayloadsRequest(project=api.project, ref=ref), timeout=PATIENCE
    )
    found: list[str] = []
    for item in stream:
        found.append(item.payload.payload_id)
        if len(found) == expected:
            break
    stream.cancel()
    return found


def with_secrets(daemon: Daemon, project: str, name: str, *secrets: str) -> None:
    """Sets secrets, as ``hookd secrets set`` does."""
    files = SecretFiles(daemon.data_dir / "secrets")
    files.write(project, name, "\n".join(secrets).encode())


def as_json(data: object) -> bytes:
    """JSON."""
    return json.dumps(data).encode()
