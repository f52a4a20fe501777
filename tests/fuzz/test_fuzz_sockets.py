"""Random and truncated frames on the sockets of a daemon: it stays up, and serves the others.

Nothing is left behind: no descriptor, no call in flight, no trace in the log.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator

import grpc
import pytest
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import CreateHookRequest
from hookd.v1.webhook_pb2 import WEBHOOK_SCHEME_STRIPE, Webhook, WebhookVerification
from hookd_daemon.secrets.files import SecretFiles

from tests.fuzz import frames
from tests.support.api import Api, refusal
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon
from tests.support.effort import effort, seed

CLAIM = b"/hookd.v1.HookService/CreateHook"
#: So many connections are open at a time.
AT_ONCE = 20


def descriptors(daemon: Daemon) -> int:
    """How many files and sockets the daemon has open."""
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


class Others:
    """A client that goes on working, and how often it was answered."""

    def __init__(self, daemon: Daemon) -> None:
        self._api = Api(daemon.channel(), "others")
        self._api.start("run")
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self.answered = 0
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        try:
            while not self._ended.wait(0.005):
                token = f"token-{self.answered}"
                self._api.claim("run", token, token)
                assert self._api.hook(token).run_id == "run"
                self.answered += 1
        except Exception as error:  # noqa: BLE001 - told to the test
            self._failure = error

    def __enter__(self) -> Others:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)
        if self._failure is not None:
            raise self._failure


def throw(address: str, pieces: Iterator[bytes], dice: random.Random) -> None:
    """Sends each piece on a connection of its own, and leaves in one way or another."""
    host, _, port = address.rpartition(":")
    wires: list[socket.socket] = []
    try:
        for piece in pieces:
            wire = socket.create_connection((host, int(port)), timeout=10)
            wires.append(wire)
            with contextlib.suppress(ConnectionError):
                wire.sendall(piece)
                if dice.random() < 0.3:
                    wire.shutdown(socket.SHUT_WR)
            if len(wires) == AT_ONCE:
                leave(wires.pop(dice.randrange(AT_ONCE)), dice)
    finally:
        for wire in wires:
            leave(wire, dice)


def send_whole(address: str, *calls: bytes) -> bytes:
    """Sends calls over one connection, each when the one before was answered."""
    host, _, port = address.rpartition(":")
    told = b""
    with socket.create_connection((host, int(port)), timeout=30) as wire:
        for call in calls:
            before = len(told)
            wire.sendall(call)
            # The trailers end the stream.
            while not ended(told[before:]):
                more = wire.recv(65536)
                assert more, f"the connection was closed after {told!r}"
                told += more
    return told


def ended(told: bytes) -> bool:
    """Whether the last of some frames is whole, and one of them ends a stream."""
    while len(told) >= 9:
        size, kind, flags = int.from_bytes(told[:3], "big"), told[3], told[4]
        if kind == frames.RST:
            raise AssertionError("the stream was reset")
        if kind == frames.HEADERS and flags & frames.END_STREAM and len(told) >= 9 + size:
            return True
        told = told[9 + size :]
    return False


def leave(wire: socket.socket, dice: random.Random) -> None:
    """Reads a little or nothing, and closes, sometimes with a reset."""
    wire.settimeout(0.01)
    with contextlib.suppress(OSError):
        if dice.random() < 0.5:
            wire.recv(65536)
        if dice.random() < 0.3:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wire.close()


def check_unharmed(
    daemon: Daemon, fuzz: Callable[[random.Random], None], *, log: tuple[str, ...] = ()
) -> None:
    """Lets something happen to a daemon, and sees that it leaves no mark.

    Args:
        daemon: the daemon.
        fuzz: what happens.
        log: events that may be logged.
    """
    dice = random.Random(seed())
    pid = daemon.pid
    api = Api(daemon.channel())
    api.start("warm")
    with Others(daemon) as others:
        eventually(lambda: others.answered)
        before, said = descriptors(daemon), len(daemon.log)
        fuzz(dice)
        answered = others.answered
        # Connections that were dropped are closed soon, and all of them.
        eventually(lambda: descriptors(daemon) <= before + 2)
        eventually(lambda: others.answered > answered)
    assert daemon.pid == pid
    assert daemon.process is not None
    assert daemon.process.poll() is None
    # gRPC itself logs a call whose other headers are not UTF-8, before we see it.
    ours = [line for line in daemon.log[said:].splitlines() if "cygrpc._decode" not in line]
    news = "\n".join(ours)
    assert "Traceback" not in news
    assert "a call failed" not in news
    lines = [line for line in news.splitlines() if not any(event in line for event in log)]
    assert lines == []


@pytest.mark.torture
def test_random_frames(daemon: Daemon) -> None:
    def fuzz(dice: random.Random) -> None:
        begins = (b"", frames.PREFACE, frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0))
        throw(
            daemon.address,
            (
                dice.choice(begins) + frames.noise(dice, dice.randint(1, 12))
                for _ in range(effort(150))
            ),
            dice,
        )

    check_unharmed(daemon, fuzz)


@pytest.mark.torture
def test_calls_that_are_spoiled(daemon: Daemon) -> None:
    def fuzz(dice: random.Random) -> None:
        def pieces() -> Iterator[bytes]:
            for number in range(effort(150)):
                message = claim(number)
                if dice.random() < 0.3:
                    message = frames.spoil(dice, message, 0)
                whole = frames.call(CLAIM, message)
                yield frames.spoil(dice, whole, len(frames.PREFACE))

        throw(daemon.address, pieces(), dice)

    check_unharmed(daemon, fuzz)
    # What has come through is whole: each token has its owner, and is found.
    api = Api(daemon.channel())
    assert api.claim("warm", "after").hook.token == "after"


def claim(number: int) -> bytes:
    """A request that is right."""
    hook = HookSpec(hook_id=f"hook-{number}", token=f"token-{number}")
    return CreateHookRequest(run_id="warm", hook=hook).SerializeToString()


#: Paths of calls that are no text, or no path.
PATHS = (b"\xff", CLAIM + b"\xc3", b"/hookd.v1.HookService/\xed\xa0\x80", b"")


def test_a_path_that_is_no_text_does_not_end_the_server(daemon: Daemon) -> None:
    """As it did: the loop of ``grpc.aio`` that takes requests fails for it, and ends."""

    def fuzz(_: random.Random) -> None:
        for path in PATHS:
            # It is answered, and so is the next call of the same connection.
            begin = frames.call(path, claim(1))
            again = frames.call(CLAIM, claim(2), stream=3)[len(frames.PREFACE) + 9 :]
            assert b"hook-2" in send_whole(daemon.address, begin, again)

    check_unharmed(daemon, fuzz)
    api = Api(daemon.channel())
    assert api.hook("token-2").hook_id == "hook-2"
    assert refusal(api.hook, "token-1").reason == "HOOK_NOT_FOUND"
    unknown = api.channel.unary_unary("/hookd.v1.HookService/NoSuchCall")
    assert refusal(unknown, b"").code == grpc.StatusCode.UNIMPLEMENTED
    assert daemon.terminate() == 0


@pytest.mark.torture
def test_calls_that_are_cut_at_every_byte(daemon: Daemon) -> None:
    whole = frames.call(CLAIM, claim(0))

    def fuzz(dice: random.Random) -> None:
        throw(daemon.address, (whole[:cut] for cut in range(len(whole))), dice)

    check_unharmed(daemon, fuzz)
    api = Api(daemon.channel())
    # None of these calls was whole, so none of them was made.
    assert [kind for kind in api.events("warm") if kind == "hook_created"] == []
    send_whole(daemon.address, whole)
    assert api.hook("token-0").hook_id == "hook-0"


#: Requests with too many headers, too much of them, or of a kind that is not used.
LINES = (
    b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /readyz HTTP/1.0\r\n\r\n",
    b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /%00%ff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 3000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99\r\n\r\n",
    *(
        b"POST /webhooks/default/" + path + b" HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n" + body
        for path in (b"reached", b"signed/%2F?x", b"%ff", b"..%2f..", b"unknown")
        for head, body in (
            (b"Content-Length: 2", b"{}"),
            (b"Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n"),
            (b"Idempotency-Key: k\r\nContent-Length: 9", b"half"),
            (b"Stripe-Signature: t=1,v1=00\r\nContent-Length: 12", b'{"id": "evt"}'),
        )
    ),
    frames.PREFACE,
)


@pytest.mark.torture
def test_garbage_on_the_http_socket(daemon: Daemon) -> None:
    def fuzz(dice: random.Random) -> None:
        def pieces() -> Iterator[bytes]:
            for number in range(effort(120)):
                line = dice.choice(LINES)
                kind = number % 4
                if kind == 0:
                    yield dice.randbytes(dice.randint(0, 2000))
                elif kind == 1:
                    yield line[: dice.randint(0, len(line))]
                elif kind == 2:
                    yield frames.spoil(dice, line, 0)
                else:
                    yield line

        throw(daemon.http, pieces(), dice)

    api = Api(daemon.channel())
    api.start("reached")
    api.claim("reached", "reached", webhook=Webhook())
    signed = WebhookVerification(scheme=WEBHOOK_SCHEME_STRIPE, secret="s")
    api.claim("reached", "signed", webhook=Webhook(verification=signed))
    SecretFiles(daemon.data_dir / "secrets").write("default", "s", b"secret")
    # The HTTP server notes each request that it refuses, in a line.
    check_unharmed(daemon, fuzz, log=('"logger": "uvicorn.error"',))
    host, _, port = daemon.http.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert b"200" in wire.recv(100)


def test_the_frames_are_right_to_begin_with(daemon: Daemon) -> None:
    """Else what is spoiled would have been dropped for another reason."""
    api = Api(daemon.channel())
    api.start("warm")
    send_whole(daemon.address, frames.call(CLAIM, claim(7)))
    assert api.hook("token-7").hook_id == "hook-7"
