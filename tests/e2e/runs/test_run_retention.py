"""How long an ended run is kept, and that nothing of it is left after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.run_service_pb2 import START_OUTCOME_STARTED
from hookd.v1.stream_service_pb2 import ListStreamsRequest, WriteChunksRequest
from rocksdict import AccessType, Options, Rdict

from tests.support.api import Api, json_payload, refusal, seconds
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon, running
from tests.support.snapshot import all_hooks, all_runs

CONFIG = """
retention = "drop"

[projects.kept]
retention = "keep"

[projects.short]
retention = "1500ms"

[projects.long]
retention = "1h"
"""


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that drops ended runs, but not those of some projects."""
    folder = tmp_path_factory.mktemp("retention")
    config = folder / "hookd.toml"
    config.write_text(CONFIG)
    with running(folder, f"--config={config}") as daemon:
        yield daemon


def live(api: Api, run_id: str = "r", token: str = "t") -> None:
    """A run that has left something of every kind, and has ended."""
    api.start(run_id, claims=[HookSpec(token=token, metadata=json_payload("{}"))])
    api.claim(run_id, f"{token}-gone", "h")
    api.dispose(run_id, "h")
    for i in range(5):
        api.resume(token, str(i), f"{run_id}-p{i}")
    request = WriteChunksRequest(project=api.project, run_id=run_id, chunks=[json_payload("1")] * 5)
    api.streams.WriteChunks(request)
    api.complete(run_id)


def is_gone(api: Api, run_id: str = "r") -> bool:
    try:
        api.run(run_id)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        return True
    return False


def test_run_retention_drop(dropping: Daemon) -> None:
    api = Api(dropping.channel(), "dropped")
    live(api)
    # Long enough for whoever waits for the end, or has lost the answer.
    run = api.ended("r")
    assert run.output == json_payload("1")
    assert api.resume("t", "0", "r-p0").duplicate
    eventually(lambda: is_gone(api))
    assert list(all_runs(api)) == []
    for call in (
        lambda: api.ended("r"),
        lambda: api.log("r"),
        lambda: api.complete("r"),
        lambda: api.cancel("r"),
        lambda: api.claim("r", "x"),
        lambda: list(all_hooks(api, "r")),
        lambda: api.payloads("r", "claim-1", 1),
        lambda: api.streams.ListStreams(ListStreamsRequest(project="dropped", run_id="r")),
    ):
        assert refusal(call).reason == "RUN_NOT_FOUND"
    # What came with it went with it: a payload id, too.
    assert refusal(api.resume, "t", "0", "r-p0").reason == "HOOK_NOT_FOUND"


def test_run_retention_the_id_can_be_used_afresh(dropping: Daemon) -> None:
    api = Api(dropping.channel(), "afresh")
    live(api)
    eventually(lambda: is_gone(api))
    again = api.start("r", workflow="other", claims=[HookSpec(token="t")])
    assert again.outcome == START_OUTCOME_STARTED
    assert api.events("r") == ["run_created", "run_started", "hook_created"]
    assert [hook.hook_id for hook in all_hooks(api, "r")] == ["claim-1"]
    assert api.hook("t").payload_count == 0
    listed = api.streams.ListStreams(ListStreamsRequest(project="afresh", run_id="r")).streams
    assert list(listed) == []
    # The old payload id, with other bytes: a new payload.
    told = api.resume("t", '"new"', "r-p0")
    assert (told.payload_seq, told.duplicate) == (1, False)
    assert api.payloads("r", "claim-1", 1) == ['"new"']
    # The remains of the old one are being removed; those of the new one are not.
    live(api, "another", "t2")
    eventually(lambda: is_gone(api, "another"))
    assert api.resume("t", '"new"', "r-p0").duplicate
    assert len(api.log("r")) == 4


def test_run_retention_of_projects(dropping: Daemon) -> None:
    channel = dropping.channel()
    apis = {name: Api(channel, name) for name in ("kept", "long", "short", "other")}
    for api in apis.values():
        live(api)
    eventually(lambda: is_gone(apis["other"]))
    ended = apis["short"].run("r") if not is_gone(apis["short"]) else None
    eventually(lambda: is_gone(apis["short"]))
    assert ended is not None, "it was kept no longer than the others"
    for name in ("kept", "long"):
        assert apis[name].run("r").output == json_payload("1")
        assert apis[name].resume("t", "0", "r-p0").duplicate


def test_run_retention_lasts_as_long_as_a_hold(dropping: Daemon) -> None:
    """A held token names its run: so long the run is there."""
    api = Api(dropping.channel(), "held")
    api.start("r", claims=[HookSpec(token="t", hold_after=seconds(2))])
    api.start("other")
    api.start("witness")
    api.complete("r")
    api.complete("witness")
    eventually(lambda: is_gone(api, "witness"))
    assert refusal(api.claim, "other", "t").conflict.run_id == "r"
    assert api.run("r").output == json_payload("1")
    eventually(lambda: is_gone(api))
    assert api.claim("other", "t").hook.run_id == "other"


def test_run_retention_leaves_active_runs_alone(dropping: Daemon) -> None:
    api = Api(dropping.channel(), "active")
    api.start("r", claims=[HookSpec(token="t")])
    api.start("witness")
    api.complete("witness")
    eventually(lambda: is_gone(api, "witness"))
    assert api.hook("t").run_id == "r"


def test_run_retention_leaves_nothing_on_disk(tmp_path: Path) -> None:
    """Also when the daemon is killed while it removes."""
    with running(tmp_path, "--retention=drop") as daemon:
        api = Api(daemon.channel(), "p")
        for i in range(20):
            live(api, f"r{i}", f"t{i}")
        daemon.restart()
        api = Api(daemon.channel(), "p")
        eventually(lambda: all(is_gone(api, f"r{i}") for i in range(20)))
        assert daemon.terminate() == 0
        options = Options(raw_mode=True)
        database = Rdict(
            str(daemon.data_dir / "db"), options, access_type=AccessType.read_only(False)
        )
        try:
            tables = {bytes(key[:1]) for key, _ in database.items()}
        finally:
            database.close()
        assert tables == {b"M"}
