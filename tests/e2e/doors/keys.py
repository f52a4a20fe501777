"""Keys for a test, made by the command, and calls that bear them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hookd.v1 import (
    admin_service_pb2,
    hook_service_pb2,
    run_service_pb2,
    stream_service_pb2,
    worker_service_pb2,
)
from hookd_daemon.auth import keys
from hookd_daemon.auth.keyfile import KeyFile
from hookd_daemon.auth.roles import Role

from tests.support.daemon import HOOKD

MODULES = (
    admin_service_pb2,
    hook_service_pb2,
    run_service_pb2,
    stream_service_pb2,
    worker_service_pb2,
)
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
DENIED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


def hookd_keys(data_dir: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs ``hookd keys``."""
    return subprocess.run(
        [HOOKD, "keys", *words, f"--data-dir={data_dir}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=check,
    )


def create(
    data_dir: Path,
    project: str | None,
    role: Role = Role.SERVICE,
    *,
    lasts: timedelta | None = None,
) -> str:
    """Makes a key, as the command does but without a process for it."""
    now = datetime.now(UTC)
    text, key = keys.make(
        project=project, role=role, now=now, expires_at=None if lasts is None else now + lasts
    )
    with KeyFile(data_dir).change() as kept:
        kept.append(key)
    return text


def id_of(key: str) -> str:
    """The id of a key."""
    return key.split("_")[1]


def revoke(data_dir: Path, key: str) -> None:
    """Revokes a key, as the command does."""
    with KeyFile(data_dir).change() as kept:
        for place, found in enumerate(kept):
            if found.id == id_of(key):
                kept[place] = found.model_copy(update={"revoked_at": datetime.now(UTC)})


def bearing(key: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata of a call that bears a key."""
    return () if key is None else (("authorization", f"Bearer {key}"),)


class Told(NamedTuple):
    """Everything that a caller can see of an answer; without a status, it was answered."""

    code: grpc.StatusCode | None
    message: str = ""
    trailers: tuple[tuple[str, Any], ...] = ()


def told(call: Callable[[], Any]) -> Told:
    """Calls, and gives what the caller is told."""
    try:
        call()
    except grpc.RpcError as error:
        failed: Any = error
        trailers = tuple((key, value) for key, value in failed.trailing_metadata() or ())
        return Told(failed.code(), failed.details(), trailers)
    return Told(None)


def ask(channel: grpc.Channel, path: str, request: Message, key: str | None) -> Told:
    """Makes any call of the API; of a stream, until its first message comes."""
    method = METHODS[path]
    kind = ("stream" if method.client_streaming else "unary") + (
        "_stream" if method.server_streaming else "_unary"
    )
    stub = getattr(channel, kind)(
        path, type(request).SerializeToString, GetMessageClass(method.output_type).FromString
    )
    sent: Any = iter([request]) if method.client_streaming else request
    if not method.server_streaming:
        return told(lambda: stub(sent, timeout=60, metadata=bearing(key)))
    stream = stub(sent, timeout=60, metadata=bearing(key))
    try:
        return told(lambda: next(iter(stream), None))
    finally:
        stream.cancel()
