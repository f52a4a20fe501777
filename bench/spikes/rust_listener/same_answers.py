"""Holds the answers of one server against those of another, call by call."""

from __future__ import annotations

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.errors_pb2 import HookConflict
from hookd.v1.hook_service_pb2 import CreateHookRequest, CreateHookResponse
from hookd.v1.run_service_pb2 import StartRunRequest

Answer = tuple[str, str, object]

HOOKS = "/hookd.v1.HookService/"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DETAILS = "grpc-status-details-bin"


def _claim(run: str, hook: str, token: str) -> bytes:
    return CreateHookRequest(
        run_id=run, hook=HookSpec(hook_id=hook, token=token)
    ).SerializeToString()


def _calls() -> list[tuple[str, bytes]]:
    starts = [
        StartRunRequest(run_id=run, workflow="same", external=True).SerializeToString()
        for run in ("same-1", "same-2")
    ]
    return [
        *(("/hookd.v1.RunService/StartRun", start) for start in starts),
        (HOOKS + "CreateHook", _claim("same-1", "h", "tökén")),
        (HOOKS + "CreateHook", _claim("same-1", "h", "tökén")),
        (HOOKS + "CreateHook", _claim("same-2", "h", "tökén")),
        (HOOKS + "CreateHook", _claim("nobody", "h", "other")),
        (HOOKS + "CreateHook", _claim("same-1", "big", "x" * 20_000)),
        (HOOKS + "CreateHook", _claim("same-1", "%é\n", "% é")),
        (HOOKS + "CreateHook", b""),
        (HOOKS + "CreateHook", b"\xff\xff"),
        (HOOKS + "NoSuchCall", b""),
    ]


def answers(address: str) -> list[Answer]:
    """What a fresh server answers: status, message, and the details of an error."""
    with grpc.insecure_channel(address) as channel:
        return [_answer(channel, path, request) for path, request in _calls()]


def _answer(channel: grpc.Channel, path: str, request: bytes) -> Answer:
    call = channel.unary_unary(path)
    try:
        answer = call(request, timeout=30, metadata=[("traceparent", TRACE)])
    except grpc.RpcError as error:
        trailers = dict(error.trailing_metadata() or ())
        details = [_readable(one) for one in Status.FromString(trailers.pop(DETAILS, b"")).details]
        return error.code().name, error.details(), (details, trailers)
    if path.endswith("CreateHook"):
        hook = CreateHookResponse.FromString(answer)
        return "OK", hook.hook.token, hook.already_exists
    return "OK", "", len(answer)


def _readable(detail: AnyMessage) -> Message:
    """A detail as a message, without the one thing that differs: when the claim was made."""
    for kind in (ErrorInfo, BadRequest, HookConflict):
        if detail.Is(kind.DESCRIPTOR):
            message = kind()
            detail.Unpack(message)
            if isinstance(message, HookConflict):
                message.ClearField("claimed_at")
            return message
    return detail
