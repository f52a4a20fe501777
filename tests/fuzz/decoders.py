"""All that reads bytes of others, each as a function of bytes that must not fail.

What is wrong with the bytes has to be told by the one error that the callers
expect; anything else is a failure. What is read right has to be what was
written. ``guided`` looks for bytes with which it is not so.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hookd.payload import decode
from hookd.v1.common_pb2 import Payload, RunStatus
from hookd.v1.webhook_pb2 import Webhook, WebhookScheme, WebhookVerification
from hookd.v1.worker_service_pb2 import QueueKind
from hookd.webhook_request import MEDIA_TYPE, request_of
from hookd.webhook_url import webhook_url
from hookd_daemon.api.paging import page_token, position_of, text_position_of
from hookd_daemon.auth.keyfile import FILE_NAME, KeyFile, KeyFileError
from hookd_daemon.errors import InvalidArgumentError
from hookd_daemon.http.rest.reading import read
from hookd_daemon.http.rest.request import fill_from_body, fill_from_url, query_of
from hookd_daemon.http.rest.routes import ROUTES, find
from hookd_daemon.http.rest.text import load
from hookd_daemon.http.rest.writing import write
from hookd_daemon.http.webhooks.address import Proxies, read_address
from hookd_daemon.http.webhooks.answers import RefusedError
from hookd_daemon.http.webhooks.payload import identify, make_payload, possible_ids
from hookd_daemon.http.webhooks.request import IncomingRequest
from hookd_daemon.http.webhooks.schemes import NotVerifiedError, verify
from hookd_daemon.store.rocks.manifest import DIGEST, MANIFEST, DamagedBackupError, Manifest
from hookd_daemon.store.rocks.plain import Kind
from hookd_daemon.store.rocks.wal import DamagedLogError, check_logs

from tests.fuzz import claims
from tests.fuzz.tables import PREFIXES, TABLES, Part, check_range, check_read, check_two_keys

Decoder = Callable[[bytes], None]

_BASE = "http://127.0.0.1:1"
#: The routes with a body, as ``json_bodies`` numbers them.
POSTS = [route for route in ROUTES if route.has_body]
_folder = Path(tempfile.mkdtemp(prefix="hookd-fuzz-"))


class Source:
    """Makes of bytes what they stand for, and of no bytes zeros and empty texts."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, count: int) -> bytes:
        """The next bytes, at most so many."""
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data))

    def number(self, count: int = 1) -> int:
        """A number of so many bytes."""
        return int.from_bytes(self.take(count), "big")

    def some(self) -> bytes:
        """Some bytes, their number before them."""
        return self.take(self.number())

    def text(self) -> str:
        """Some text."""
        return self.some().decode("utf-8", "ignore")

    def part(self, part: Part) -> Any:
        """What a key is made of."""
        match part:
            case Part.NUMBER:
                return self.number(8)
            case Part.STATUS:
                return self.number() % len(RunStatus.values())
            case Part.QUEUE:
                return self.number() % len(QueueKind.values())
            case Part.PROJECT:
                # No project has one in it.
                return self.text().replace("\0", "") or "p"
            case Part.TOKEN:
                return self.text() or "t"
            case Part.TEXT:
                return self.text()


def keys(data: bytes) -> None:
    """Keys are told apart, lie in their own ranges, and are read as they were written."""
    source = Source(data)
    table = sorted(TABLES)[source.number() % len(TABLES)]
    shared = source.number()
    _, parts = TABLES[table]
    first = tuple(source.part(part) for part in parts)
    second = tuple(
        first[place] if shared >> place & 1 else source.part(part)
        for place, part in enumerate(parts)
    )
    check_two_keys(table, first, second)
    if table in PREFIXES:
        check_range(table, first, second)
    kinds = (Part.PROJECT, Part.TOKEN, Part.QUEUE, Part.TEXT, Part.NUMBER)
    check_read(*map(source.part, kinds))


def page_tokens(data: bytes) -> None:
    """A page token is refused, or gives a position of its own list."""
    source = Source(data)
    filters, token = source.some(), source.text()
    with suppress(InvalidArgumentError):
        position = position_of(filters, token)
        assert position_of(filters, page_token(filters, position)) == position
    with suppress(InvalidArgumentError):
        text_position_of(filters, token)


def json_bodies(data: bytes) -> None:
    """A body of JSON is refused, or is a message that is the same when it is written and read."""
    source = Source(data)
    route = POSTS[source.number() % len(POSTS)]
    request = route.new_request()
    try:
        fill_from_body(route, request, source.rest())
    except InvalidArgumentError:
        return
    again = route.new_request()
    read(load(write(request).encode()), again)
    assert again == request


def urls(data: bytes) -> None:
    """A path and a query are refused, or are the fields of a message."""
    source = Source(data)
    verb = ("GET", "POST")[source.number() % 2]
    path, query = source.some().decode("latin-1"), source.rest()
    found = find(verb, f"/v1/{path}")
    if found is None:
        return
    route, parameters = found
    with suppress(InvalidArgumentError):
        fill_from_url(route, route.new_request(), parameters, query_of(query))


def webhook_addresses(data: bytes) -> None:
    """The path of a webhook is nobody's, or has the token that its URL is made for."""
    found = read_address(b"/webhooks/" + data, 512)
    if found is None:
        return
    url = webhook_url(_BASE, found.project, found.token)
    again = read_address(url.removeprefix(_BASE).encode() + found.rest.encode(), 512)
    assert again == found


def webhook_requests(data: bytes) -> None:
    """Whoever does not know the secret is not verified; and the payload is the request."""
    source = Source(data)
    verification = WebhookVerification(
        scheme=source.number() % len(WebhookScheme.values()), prefix=source.text()
    )
    headers = [
        (source.text().lower(), source.some().decode("latin-1")) for _ in range(source.number() % 8)
    ]
    sender = Proxies(["127.0.0.0/8"]).sender("127.0.0.1", [v for _, v in headers])
    request = IncomingRequest("POST", "", source.text(), headers, sender, source.rest())
    with suppress(RefusedError):
        identify(Webhook(verification=verification), request)
    list(possible_ids(request))
    received = request_of(make_payload(Webhook(), request))
    assert received.body == request.body
    _ = received.params, received.content_type, received.text()
    if verification.scheme:
        with suppress(NotVerifiedError):
            verify(verification, [b"whsec_c2VjcmV0"], request, 1_700_000_000)
            raise AssertionError("it is verified")


def payloads(data: bytes) -> None:
    """A payload of whatever kind is some value, and none of them stops who receives it."""
    source = Source(data)
    kind = (source.text(), "application/json", MEDIA_TYPE)[source.number() % 3]
    payload = Payload(content_type=kind, data=source.rest())
    decode(payload)
    request_of(payload)


def claim_requests(data: bytes) -> None:
    """What Rust reads of a claim is what protobuf reads."""
    source = Source(data)
    claims.check_read_alike(Kind(source.number() % len(Kind)), source.rest())


def stored_claims(data: bytes) -> None:
    """A stored claim is refused, or read as protobuf reads it."""
    source = Source(data)
    claims.check_stored([(b"T" + source.some(), source.rest())], 1)


def logs(data: bytes) -> None:
    """A log is refused or taken, and looking it over comes to an end."""
    (_folder / "000001.log").write_bytes(data)
    with suppress(DamagedLogError):
        check_logs(_folder)


def manifests(data: bytes) -> None:
    """A manifest is refused, or is one."""
    (_folder / MANIFEST).write_bytes(data)
    (_folder / DIGEST).write_text(f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n")
    with suppress(DamagedBackupError):
        assert Manifest.read(_folder).size >= 0


def key_files(data: bytes) -> None:
    """A file of keys is refused, or is one."""
    (_folder / FILE_NAME).write_bytes(data)
    with suppress(KeyFileError):
        KeyFile(_folder).read()


DECODERS: dict[str, Decoder] = {
    decoder.__name__.replace("_", "-"): decoder
    for decoder in (
        keys,
        page_tokens,
        json_bodies,
        urls,
        webhook_addresses,
        webhook_requests,
        payloads,
        claim_requests,
        stored_claims,
        logs,
        manifests,
        key_files,
    )
}
