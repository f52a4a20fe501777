"""Random bytes where messages should be: clear errors, no failure, no crash."""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from hookd.v1 import admin_service_pb2, hook_service_pb2, run_service_pb2, stream_service_pb2
from hookd.v1.common_pb2 import HookSpec

from tests.support.api import Api, Refusal, refusal
from tests.support.concurrency import at_once
from tests.support.daemon import Daemon

MODULES = (run_service_pb2, hook_service_pb2, stream_service_pb2, admin_service_pb2)
#: Fuzzed apart from the others: they are slow, and what they do is not about a message.
HEAVY = ("Backup", "Compact")
SEED = 4665
EACH = 120


def methods(*, client_streaming: bool = False) -> list[MethodDescriptor]:
    """All calls of hookd, or those that take a stream."""
    return [
        method
        for module in MODULES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.client_streaming == client_streaming and method.name not in HEAVY
    ]


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


NUMBERS = (0, 1, 2, 3, 99, 2**31 - 1, 2**63 - 1, 2**64 - 1, -1, -2, -(2**31), -(2**63))
BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
}


class Fuzz:
    """Makes messages: valid ones of strange values, and bytes that are none.

    Args:
        seed: the same seed makes the same messages.
        known: texts that name something in the daemon.
    """

    def __init__(self, seed: int, known: tuple[str, ...]) -> None:
        self.random = random.Random(seed)
        self.texts = (
            *known * 3,
            "",
            "\0",
            " ",
            "a/b",
            "🪝" * 20,
            "x" * 129,
            "x" * 600,
            "x" * 5000,
        )

    def message(self, kind: Any, depth: int = 0) -> Message:
        """A message with some of its fields set, each to something."""
        message = kind()
        for field in kind.DESCRIPTOR.fields:
            if self.random.random() < 0.35 or depth > 3:
                continue
            self._fill(message, field, depth)
        return message

    def _fill(self, message: Any, field: FieldDescriptor, depth: int) -> None:
        times = self.random.choice((1, 1, 2, 5)) if field.is_repeated else 1
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        for _ in range(times):
            if is_map:
                getattr(message, field.name)[self._text()] = self._text()
            elif field.message_type is not None:
                inner = self.message(GetMessageClass(field.message_type), depth + 1)
                if field.is_repeated:
                    getattr(message, field.name).append(inner)
                else:
                    getattr(message, field.name).CopyFrom(inner)
            elif field.is_repeated:
                getattr(message, field.name).append(self._value(field))
            else:
                setattr(message, field.name, self._value(field))

    def _value(self, field: FieldDescriptor) -> Any:
        kind = field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return self.random.random() < 0.5
        if kind == FieldDescriptor.CPPTYPE_STRING:
            if field.type == FieldDescriptor.TYPE_BYTES:
                return self.random.randbytes(self.random.choice((0, 1, 20, 70_000)))
            return self._text()
        low, high = BOUNDS[kind]
        usual = self.random.random() < 0.5
        number = self.random.randint(0, 5) if usual else self.random.choice(NUMBERS)
        return min(max(number, low), high)

    def _text(self) -> str:
        return self.random.choice(self.texts)

    def spoil(self, data: bytes) -> bytes:
        """Changes, cuts or adds some bytes."""
        raw = bytearray(data)
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randrange(len(raw) + 1)
            match self.random.randrange(4):
                case 0 if at < len(raw):
                    raw[at] = self.random.randrange(256)
                case 1:
                    del raw[at : at + self.random.randint(1, 8)]
                case 2:
                    raw[at:at] = self.random.randbytes(self.random.randint(1, 8))
                case _:
                    del raw[at:]
        return bytes(raw)

    def inputs(self, kind: Any, count: int) -> Iterator[bytes]:
        """Strange messages, spoiled ones, and random bytes."""
        for n in range(count):
            if n % 4 == 3:
                yield self.random.randbytes(self.random.randint(0, 200))
                continue
            data = self.message(kind).SerializeToString()
            yield self.spoil(data) if n % 4 == 2 else data


#: What a call may be told when its message is strange, and how it may end otherwise.
FINE = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    # The call waits for something that never comes, as it was asked to.
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


def fuzz(api: Api, method: MethodDescriptor, seed: int) -> Counter[grpc.StatusCode]:
    """Sends strange requests to one call; returns how they ended."""
    path = path_of(method)
    kind = GetMessageClass(method.input_type)
    maker = Fuzz(seed, ("fuzz", "run", "hook", "claim-1", "token"))
    streams = method.server_streaming
    call = api.channel.unary_stream(path) if streams else api.channel.unary_unary(path)
    ended: Counter[grpc.StatusCode] = Counter()
    begin = call if streams else call.future
    pending = [(data, begin(data, timeout=1)) for data in maker.inputs(kind, EACH)]
    for data, answer in pending:
        code = answer.code()
        if code is None and streams:
            code = _code_of_stream(answer)
        told = f"{path} {data[:300]!r}: {code} {answer.details()}"
        assert code in FINE, told
        if code not in (grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED):
            told_by = Refusal(answer)
            assert told_by.reason, told
            if told_by.reason == "INVALID_ARGUMENT":
                assert told_by.fields, told
            if not _is_message(kind, data):
                assert list(told_by.fields) == ["request"], told
        ended[code] += 1
    return ended


def _code_of_stream(stream: Any) -> grpc.StatusCode:
    try:
        for _ in stream:
            pass
    except grpc.RpcError:
        pass
    return stream.code()


def _is_message(kind: Any, data: bytes) -> bool:
    try:
        kind.FromString(data)
    except DecodeError:
        return False
    return True


def prepare(api: Api) -> None:
    api.start("run", claims=[HookSpec(token="token", hook_id="hook")])
    api.start("fuzz", claims=[HookSpec(token="fuzz")])


def test_random_bytes_for_every_call(daemon: Daemon) -> None:
    """A few thousand strange requests, to all calls at once."""
    api = Api(daemon.channel())
    prepare(api)
    pid = daemon.pid
    all_methods = methods()
    ended = at_once(4, lambda part: [fuzz(api, m, SEED + part) for m in all_methods[part::4]])
    total = sum((codes for part in ended for codes in part), Counter())
    assert total.total() == EACH * len(all_methods)
    assert total[grpc.StatusCode.OK] > 100, "some are good enough to be done"
    assert total[grpc.StatusCode.INVALID_ARGUMENT] > 1000

    # The same daemon goes on, and what it has is whole: it lists it, and finds it again.
    assert daemon.process is not None
    assert daemon.process.poll() is None
    api.start("after")
    before = everything(api)
    daemon.restart()
    assert daemon.pid != pid
    assert everything(Api(daemon.channel())) == before
    assert "a call failed" not in daemon.log


def everything(api: Api) -> tuple[list[tuple[str, int, int]], list[tuple[str, str, int]]]:
    """All runs and all tokens of the project "default"."""
    runs = api.runs.ListRuns(run_service_pb2.ListRunsRequest(page_size=1000)).runs
    hooks = api.hooks.ListHooks(hook_service_pb2.ListHooksRequest(page_size=1000)).hooks
    return (
        [(run.run_id, run.last_seq, run.status) for run in runs],
        [(hook.token, hook.run_id, hook.payload_count) for hook in hooks],
    )


def test_random_bytes_in_a_stream_of_requests(api: Api) -> None:
    prepare(api)
    (method,) = methods(client_streaming=True)
    call = api.channel.stream_stream(path_of(method))
    maker = Fuzz(SEED, ("run", "token", api.project))
    for _ in range(60):
        inputs = list(maker.inputs(GetMessageClass(method.input_type), 5))
        stream = call(iter(inputs), timeout=10)
        assert _code_of_stream(stream) in FINE, stream.details()
    assert api.hook("token").run_id == "run"


def test_random_bytes_for_backup_and_compact(daemon: Daemon) -> None:
    api = Api(daemon.channel())
    maker = Fuzz(SEED, ("b-1", "b-2"))
    for module in MODULES:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if method.name not in HEAVY:
                    continue
                call = api.channel.unary_unary(path_of(method))
                for data in maker.inputs(GetMessageClass(method.input_type), 24):
                    answer = call.future(data, timeout=30)
                    assert answer.code() in FINE, (data, answer.details())
    made = {path.name for path in daemon.folder.glob("*-backups/*")}
    assert not {name for name in made if "/" in name or name.startswith(".")}
    assert not any(name.endswith(".incomplete") for name in made)


def test_two_backups_of_one_name_at_once(daemon: Daemon) -> None:
    """One is made, the other is told that the name is taken."""
    apis = [Api(daemon.channel()) for _ in range(2)]
    prepare(apis[0])
    for n in range(5):
        request = admin_service_pb2.BackupRequest(name=f"same-{n}")

        def backup(number: int, request: Any = request) -> str:
            try:
                return "made" if apis[number].admin.Backup(request).path else ""
            except grpc.RpcError as error:
                return Refusal(error).reason or str(error.code())

        assert sorted(at_once(2, backup)) == ["INVALID_ARGUMENT", "made"]


def test_random_bytes_on_the_wire(api: Api, shared_daemon: Daemon) -> None:
    """What is no HTTP/2 at all, or the beginning of it: the connection is dropped."""
    prepare(api)
    host, _, port = shared_daemon.address.rpartition(":")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    settings = b"\0\0\0\x04\0\0\0\0\0"
    noise = random.Random(SEED)
    for n in range(60):
        start = (b"", b"GET / HTTP/1.1\r\n\r\n", preface, preface + settings)[n % 4]
        with socket.create_connection((host, int(port)), timeout=10) as wire:
            try:
                wire.sendall(start + noise.randbytes(noise.randint(0, 2000)))
                if n % 8 < 4:
                    wire.shutdown(socket.SHUT_WR)
                    while wire.recv(65536):
                        pass
            except ConnectionError:
                pass
    assert api.hook("token").run_id == "run"
    assert refusal(api.hook, "none").reason == "HOOK_NOT_FOUND"
