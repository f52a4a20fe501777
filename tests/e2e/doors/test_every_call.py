"""Every call of the API, with every kind of key, and in the project of somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from hookd.v1.hook_service_pb2 import ClaimStreamRequest, CreateHookRequest, CreateHooksRequest
from hookd_daemon.auth.roles import LEAST, Role

from tests.e2e.doors.keys import DENIED, METHODS, ask, bearing, create, revoke, told
from tests.support.api import Api
from tests.support.daemon import Daemon, running

ABOUT_ALL = {path for path in METHODS if "AdminService" in path}
OURS = {path for path in METHODS if path not in ABOUT_ALL}
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED


@dataclass
class World:
    """A daemon with the projects blue and green, and a key of each kind."""

    daemon: Daemon
    channel: grpc.Channel
    keys: dict[str, str | None]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("every-call")
    data_dir = folder / "data"
    keys: dict[str, str | None] = {
        "resume-only": create(data_dir, "blue", Role.RESUME_ONLY),
        "service": create(data_dir, "blue"),
        "admin of blue": create(data_dir, "blue", Role.ADMIN),
        "admin": create(data_dir, None, Role.ADMIN),
        "service of green": create(data_dir, "green"),
        "none": None,
        "unknown": f"hkd_{'0' * 12}_{'A' * 43}",
        "expired": create(data_dir, "blue", lasts=timedelta(milliseconds=1)),
        "revoked": create(data_dir, "blue"),
    }
    keys["wrong"] = str(keys["service"])[:-2] + "xx"
    revoke(data_dir, str(keys["revoked"]))
    with running(folder) as daemon:
        channel = daemon.channel()
        green = Api(
            grpc.intercept_channel(channel, _Bearing(str(keys["service of green"]))), "green"
        )
        green.start("run-of-green", lease_ttl={"seconds": 3600})
        green.claim("run-of-green", "token-of-green", "hook-of-green")
        yield World(daemon, channel, keys)
        assert "Traceback" not in daemon.log


class _Bearing(grpc.UnaryUnaryClientInterceptor):
    """Sends a key with each call."""

    def __init__(self, key: str) -> None:
        self._key = key

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(details._replace(metadata=bearing(self._key)), request)


def harmless(path: str, project: str) -> Message:
    """A request that does nothing much; those about the whole daemon are refused for their name."""
    message: Any = GetMessageClass(METHODS[path].input_type)()
    if "project" in message.DESCRIPTOR.fields_by_name:
        message.project = project
    if path.endswith("/Backup"):
        message.name = "/"
    return message


@pytest.mark.parametrize("bad", ["none", "unknown", "wrong", "expired", "revoked"])
def test_no_call_is_answered_without_a_valid_key(world: World, bad: str) -> None:
    codes = {
        path: ask(world.channel, path, harmless(path, "blue"), world.keys[bad]).code
        for path in METHODS
    }
    assert codes == dict.fromkeys(METHODS, UNAUTHENTICATED)


@pytest.mark.parametrize("bad", ["unknown", "wrong", "expired", "revoked"])
def test_what_is_wrong_with_a_key_is_not_told(world: World, bad: str) -> None:
    path = "/hookd.v1.RunService/GetRun"
    answers = {
        ask(world.channel, path, harmless(path, "blue"), world.keys[key]) for key in (bad, "wrong")
    }
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("kind", "role"),
    [("resume-only", Role.RESUME_ONLY), ("service", Role.SERVICE), ("admin of blue", Role.ADMIN)],
)
def test_a_key_of_a_project_may_what_its_role_says_and_nothing_else(
    world: World, kind: str, role: Role
) -> None:
    for path in METHODS:
        code = ask(world.channel, path, harmless(path, "blue"), world.keys[kind]).code
        if not role.covers(LEAST[path]) or path in ABOUT_ALL:
            assert code == PERMISSION_DENIED, path
        else:
            assert code not in DENIED, path


@pytest.mark.parametrize("project", ["blue", "green", "", "none-such"])
def test_an_admin_of_all_projects_may_everything(world: World, project: str) -> None:
    for path in METHODS:
        code = ask(world.channel, path, harmless(path, project), world.keys["admin"]).code
        assert code not in DENIED, path


@pytest.mark.parametrize("kind", ["resume-only", "service", "admin of blue"])
@pytest.mark.parametrize("project", ["green", "", "default", "none-such", "BLUE", "blue ", "\0"])
def test_another_project_is_never_open(world: World, kind: str, project: str) -> None:
    for path in METHODS:
        code = ask(world.channel, path, harmless(path, project), world.keys[kind]).code
        assert code == PERMISSION_DENIED, path


def filled(path: str, *, real: bool) -> Message:
    """A request to the project green, about what is there or about what is not."""
    end = "of-green" if real else "nowhere"
    message: Any = GetMessageClass(METHODS[path].input_type)()
    _fill(message, end, depth=0)
    message.project = "green"
    return message


def _fill(message: Any, end: str, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.name in ("run_id", "token", "hook_id"):
            if field.containing_oneof is None or field.name == "token":
                setattr(message, field.name, f"{field.name.removesuffix('_id')}-{end}")
        elif field.message_type is not None and depth < 2:
            inner = getattr(message, field.name)
            if field.message_type.full_name.startswith("hookd.v1."):
                if field.is_repeated:
                    if not field.message_type.GetOptions().map_entry:
                        _fill(inner.add(), end, depth + 1)
                elif field.containing_oneof is None:
                    inner.SetInParent()
                    _fill(inner, end, depth + 1)


@pytest.mark.parametrize("kind", ["service", "resume-only", "admin of blue"])
def test_a_refusal_does_not_tell_what_is_there(world: World, kind: str) -> None:
    """The same bytes, whether the run, the hook and the token exist or not."""
    key = world.keys[kind]
    for path in OURS:
        there, nowhere = (
            ask(world.channel, path, filled(path, real=real), key) for real in (True, False)
        )
        assert there.code == PERMISSION_DENIED, path
        assert there == nowhere, path
        assert not any("of-green" in str(part) for part in there), path


def test_what_is_there_would_make_a_difference(world: World) -> None:
    """Else the test above would show nothing."""
    key = world.keys["service of green"]
    for name in ("RunService/GetRun", "HookService/GetHook", "RunService/WatchRun"):
        path = f"/hookd.v1.{name}"
        assert ask(world.channel, path, filled(path, real=True), key).code is None
        assert (
            ask(world.channel, path, filled(path, real=False), key).code
            == grpc.StatusCode.NOT_FOUND
        )


def test_the_fast_lane_of_claims_has_no_gap(world: World) -> None:
    """Claims are carried out in Rust, from the bytes: one, a batch, and a stream."""
    key = world.keys["service"]
    item: Any = {"run_id": "run-of-green", "hook": {"hook_id": "mine", "token": "my-token"}}
    requests: dict[str, Message] = {
        "CreateHook": CreateHookRequest(project="green", **item),
        "CreateHooks": CreateHooksRequest(project="green", hooks=[item]),
        "ClaimStream": ClaimStreamRequest(batch_id=1, project="green", hooks=[item]),
    }
    for name, request in requests.items():
        path = f"/hookd.v1.HookService/{name}"
        assert ask(world.channel, path, request, key).code == PERMISSION_DENIED, name
        assert ask(world.channel, path, request, world.keys["service of green"]).code is None
        assert ask(world.channel, path, request, world.keys["admin"]).code is None


def test_a_stream_does_not_change_into_another_project(world: World) -> None:
    """Each message is looked at, and not the first one alone."""
    item = {"run_id": "run-of-green", "hook": {"hook_id": "later", "token": "later-token"}}
    stub = world.channel.stream_stream(
        "/hookd.v1.HookService/ClaimStream",
        ClaimStreamRequest.SerializeToString,
        lambda data: data,
    )
    sent = [
        ClaimStreamRequest(batch_id=1, project="blue"),
        ClaimStreamRequest(batch_id=2, project="green", hooks=[item]),
    ]
    stream = stub(iter(sent), timeout=60, metadata=bearing(world.keys["service"]))
    answers: list[bytes] = []
    assert told(lambda: answers.extend(stream)).code == PERMISSION_DENIED
    assert len(answers) == 1
    path = "/hookd.v1.HookService/GetHook"
    request = GetMessageClass(METHODS[path].input_type)(project="green", token="later-token")
    code = ask(world.channel, path, request, world.keys["service of green"]).code
    assert code == grpc.StatusCode.NOT_FOUND


def test_a_key_is_taken_from_the_header_alone(world: World) -> None:
    path = "/hookd.v1.RunService/ListRuns"
    stub = world.channel.unary_unary(
        path, lambda message: message.SerializeToString(), lambda data: data
    )
    key = world.keys["service"]
    for name, value in [("x-api-key", f"Bearer {key}"), ("authorization", key)]:
        answer = told(lambda: stub(harmless(path, "blue"), metadata=((name, value),)))  # noqa: B023
        assert answer.code == UNAUTHENTICATED


def test_health_is_open_and_reflection_is_not(world: World) -> None:
    health = HealthStub(world.channel)
    assert health.Check(HealthCheckRequest()).status == HealthCheckResponse.SERVING
    stub = ServerReflectionStub(world.channel)

    def services(key: str | None) -> Any:
        asked = iter([ServerReflectionRequest(list_services="")])
        return next(stub.ServerReflectionInfo(asked, timeout=60, metadata=bearing(key)))

    assert told(lambda: services(None)).code == UNAUTHENTICATED
    assert told(lambda: services(world.keys["wrong"])).code == UNAUTHENTICATED
    names = {s.name for s in services(world.keys["service"]).list_services_response.service}
    assert "hookd.v1.RunService" in names


def test_a_daemon_without_keys_asks_for_none(tmp_path: Path) -> None:
    with running(tmp_path) as daemon:
        channel = daemon.channel()
        for path in METHODS:
            for key in (None, f"hkd_{'1' * 12}_{'B' * 43}"):
                assert ask(channel, path, harmless(path, "blue"), key).code not in DENIED


def test_keys_can_be_required_before_there_is_one(tmp_path: Path) -> None:
    with running(tmp_path, "--require-keys") as daemon:
        channel = daemon.channel()
        path = "/hookd.v1.RunService/ListRuns"
        assert ask(channel, path, harmless(path, "blue"), None).code == UNAUTHENTICATED
        assert "no key is valid" in daemon.log
