"""Well made bytes for each of the ``decoders``, from which damaged ones are made."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence

from hookd.v1 import hook_service_pb2 as pb
from hookd.v1.common_pb2 import HookSpec
from hookd.webhook_request import MEDIA_TYPE
from hookd_daemon.api.paging import page_token
from hookd_daemon.records.v1.records_pb2 import ClaimRecord
from hookd_daemon.store.rocks import wal
from hookd_daemon.store.rocks.plain import Kind

from tests.fuzz.decoders import POSTS
from tests.fuzz.tables import TABLES

_WHOLE = {"run_id": "r", "workflow": "w", "input": {"a": [1.5, None]}, "lease": "1m30s"}
_WHOLE |= {
    "claims": [{"token": "t", "ttl": 60, "hold_after": "1d", "metadata_raw": {"data": "AA=="}}]
}
_SPEC = HookSpec(hook_id="h", token="t")
_CLAIM = pb.HookClaim(run_id="r", hook=_SPEC)
_KEY = {
    "id": "0123456789ab",
    "name": "billing",
    "project": "shop",
    "role": "service",
    "sha256": "0" * 64,
    "created_at": "2026-01-31T12:00:00Z",
    "expires_at": None,
    "revoked_at": None,
}
_MANIFEST = {
    "backup": 1,
    "format": 1,
    "hookd": "0.1.0",
    "made_at": "2026-01-31T12:00:00Z",
    "files": {"db/CURRENT": {"size": 16, "sha256": "0" * 64}},
}
_SIGNED = (
    {"x-hub-signature-256": f"sha256={'0' * 64}", "x-github-delivery": "d"},
    {"stripe-signature": f"t=1700000000,v1={'0' * 64}"},
    {"x-slack-request-timestamp": "1700000000", "x-slack-signature": f"v0={'0' * 64}"},
    {"webhook-id": "m", "webhook-timestamp": "1700000000", "webhook-signature": "v1,AAAA"},
    {"x-signature": "0" * 64, "idempotency-key": "k"},
    {"authorization": "Bearer x", "x-forwarded-for": "[2001:db8::1]:80, 127.0.0.1"},
)


def _packed(*parts: int | bytes | str) -> bytes:
    """What ``decoders.Source`` takes apart: numbers of one byte, and texts."""
    made = b""
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        made += bytes([raw]) if isinstance(raw, int) else bytes([len(raw)]) + raw
    return made


def _logged(number: int, content: bytes) -> bytes:
    """A record of a log: a change of this number, whole in one block."""
    body = struct.pack("<QI", number, 1) + content
    checked = wal._masked_crc(b"\x01" + body)
    return struct.pack("<IHB", checked, len(body), 1) + body


def _request(scheme: int, headers: Mapping[str, str]) -> bytes:
    flat = [text for pair in headers.items() for text in pair]
    return _packed(scheme, "", len(headers), *flat, "a=1&b=%20") + b'{"id": "e", "event_id": "e"}'


#: By the names of the decoders.
SEEDS: Mapping[str, Sequence[bytes]] = {
    "keys": [
        _packed(number, shared, "a\0b", "a", "\x7f\xff".encode("latin-1")) + bytes(range(40))
        for number in range(len(TABLES))
        for shared in (0, 1, 7)
    ],
    "page-tokens": [_packed("f", page_token(b"f", position)) for position in (b"r-1", b"\xff\0")],
    "json-bodies": [
        _packed(number) + json.dumps(body).encode()
        for number, route in enumerate(POSTS)
        for body in (_WHOLE, route.example)
    ],
    "urls": [
        _packed(0, "runs") + b"created_after=2026-01-31T12:00:00.5Z&attributes=a",
        _packed(0, "runs/r%20/events:watch") + b"project=p&after_seq=7&follow=true",
        _packed(0, "hooks/a/b%F0%9F%AA%9D") + b"project=p&wait=1.5s",
        _packed(0, "runs") + b"status=RUNNING&status=FAILED&page_size=10",
        _packed(1, "runs/r/hooks/h/payloads/1:respond") + b"project=p",
    ],
    "webhook-addresses": [b"default/t", b"p/a%2Fb/rest?q", b"p/%F0%9F%AA%9D", b"p/a%", b"p/.."],
    "webhook-requests": [_request(n, headers) for n, headers in enumerate(_SIGNED, start=1)],
    "payloads": [
        _packed("", 1) + b'{"a": [1, 2.5e3, null]}',
        _packed("text/plain; charset=utf-8", 0) + b"text",
        _packed("", 2) + json.dumps({"method": "POST", "body": "e30=", "headers": []}).encode(),
        _packed(MEDIA_TYPE, 0) + b'{"method": "PUT", "headers": [{"name": "a", "value": "b"}]}',
        # Deeper than any parser goes.
        _packed("", 1) + b"[" * 100_000,
        _packed("", 2) + b"[" * 100_000,
    ],
    "claim-requests": [
        _packed(Kind.ONE) + pb.CreateHookRequest(run_id="r", hook=_SPEC).SerializeToString(),
        _packed(Kind.BATCH) + pb.CreateHooksRequest(hooks=[_CLAIM] * 2).SerializeToString(),
        _packed(Kind.STREAM)
        + pb.ClaimStreamRequest(batch_id=1, hooks=[_CLAIM]).SerializeToString(),
    ],
    "stored-claims": [
        _packed("default\0t")
        + ClaimRecord(run_uid=7, run_id="r", hook_id="h", revision=9).SerializeToString()
    ],
    "logs": [
        b"".join(_logged(number, bytes(number)) for number in range(1, 4)),
        _logged(1, b"x" * 300)[:-1] + _logged(2, b""),
    ],
    "manifests": [json.dumps(_MANIFEST).encode()],
    "key-files": [json.dumps({"version": 1, "keys": [_KEY]}).encode()],
}
