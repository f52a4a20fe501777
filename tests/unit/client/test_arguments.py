"""What is refused before it is sent, and what requests are made of."""

import datetime
import math

import hookd
import pytest
from hookd import HookSpec, InvalidArgumentError, validate
from hookd.durations import duration, seconds
from hookd.ids import new_id
from hookd.requests import start_request, workflow_name
from hookd.v1 import common_pb2, run_service_pb2


@pytest.mark.parametrize("token", ["x", " ", "/", "a\0b", "😀", "é" * 2048, "x" * 4096])
def test_hook_tokens_any_text(token):
    assert validate.token(token) == token


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", "token: must not be empty"),
        ("x" * 4097, "token: must be at most 4096 bytes of UTF-8, has 4097"),
        ("é" * 2049, "has 4098"),
        ("a\ud800", "token: must be valid UTF-8: lone surrogate at position 1"),
        (5, "token: must be text, not int"),
        (b"x", "token: must be text, not bytes"),
    ],
)
def test_bad_tokens(token, says):
    with pytest.raises(InvalidArgumentError) as caught:
        validate.token(token)
    assert says in str(caught.value)
    assert isinstance(caught.value, ValueError)


async def test_bad_tokens_are_not_sent(client, daemon):
    run = client.get_run("r")
    for call in (
        run.create_hook(""),
        run.create_hook(7),
        client.resume_hook("", 1),
        client.get_hook_by_token("\udfff"),
        client.start("w", claims=[HookSpec("ok"), HookSpec("x" * 5000)]),
    ):
        with pytest.raises(InvalidArgumentError):
            await call
    assert daemon.seen == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, (0, 0)),
        (1.5, (1, 500_000_000)),
        (0.1, (0, 100_000_000)),
        (1.9999999999, (2, 0)),
        (datetime.timedelta(milliseconds=1), (0, 1_000_000)),
        ("1h30m", (5400, 0)),
        ("500ms", (0, 500_000_000)),
        ("90s", (90, 0)),
        ("2d", (172_800, 0)),
        ("1w", (604_800, 0)),
        ("1.5h", (5400, 0)),
        ("1w 2d 3h 4m 5s 6ms", (788_645, 6_000_000)),
        (" 2 days ", (172_800, 0)),
        ("1 hour 30 minutes", (5400, 0)),
        ("5min", (300, 0)),
    ],
)
def test_durations(value, expected):
    wire = duration(value, "ttl")
    assert (wire.seconds, wire.nanos) == expected


@pytest.mark.parametrize("value", [-1, math.inf, math.nan, 10**400, True, None, b"1s", "9" * 400])
def test_bad_durations(value):
    with pytest.raises(InvalidArgumentError, match="ttl: must be "):
        seconds(value, "ttl")


@pytest.mark.parametrize(
    "text", ["", " ", "5", "h", "1x", "-1s", "+1s", "1e5s", "1m1h", "1h1h", "1,5h", "٣s", "1h 30"]
)
def test_text_that_is_no_duration(text):
    with pytest.raises(InvalidArgumentError) as caught:
        seconds(text, "ttl")
    assert str(caught.value) == (
        f'ttl: must be a duration such as "90s", "1h30m" or "2d", not {text!r}'
    )


def test_ids_sort_by_time_and_do_not_repeat():
    ids = [new_id("run") for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(i.startswith("run_") and i.isascii() and len(i) == 30 for i in ids)
    assert [i[:13] for i in ids] == sorted(i[:13] for i in ids)


def test_workflow_names():
    class Named:
        name = "billing"

    class Workflow:
        workflow_name = "checkout"
        name = "not this"

    assert workflow_name("plain") == "plain"
    assert workflow_name(Named()) == "billing"
    assert workflow_name(Workflow()) == "checkout"
    for bad in ("", 3, test_workflow_names):
        with pytest.raises(InvalidArgumentError, match="workflow"):
            workflow_name(bad)


def test_input_and_arguments():
    def sent(*args, **options):
        request = start_request("p", "w", args, **options)
        return request.input.data if request.HasField("input") else None

    assert sent() is None
    assert sent(1, "a") == b'[1,"a"]'
    assert sent(input={"a": 1}) == b'{"a":1}'
    assert sent(input=None) == b"null"
    with pytest.raises(InvalidArgumentError, match="input: "):
        sent(1, input=2)


def test_a_start_makes_the_ids_that_make_it_safe_to_retry():
    one, two = (
        start_request("p", "w", on_conflict="deliver", claims=[HookSpec("t")]) for _ in range(2)
    )
    assert one.run_id
    assert one.payload_id
    assert (one.run_id, one.payload_id) != (two.run_id, two.payload_id)
    assert one.on_conflict == run_service_pb2.CONFLICT_POLICY_DELIVER


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"on_conflict": "explode"}, "on_conflict"),
        ({"payload": 1}, "payload"),
        ({"payload_id": "x"}, "payload"),
        ({"claims": [HookSpec(ttl="1")]}, r"claims\[0\].ttl"),
        ({"claims": ["token"]}, r"claims\[0\]"),
        ({"attributes": {"a": 1}}, "attributes"),
        ({"lease_ttl": -1}, "lease_ttl"),
        ({"run_id": ""}, "run_id"),
    ],
)
def test_bad_starts(options, field):
    with pytest.raises(InvalidArgumentError, match=field):
        start_request("p", "w", **options)


async def test_open_run_is_for_runs_of_ones_own(client):
    with pytest.raises(InvalidArgumentError, match="on_conflict"):
        client.open_run("w", on_conflict="use_existing")


def test_connect_takes_the_environment(monkeypatch):
    assert (hookd.connect().address, hookd.connect().project) == ("127.0.0.1:4665", "default")
    monkeypatch.setenv("HOOKD_ADDRESS", "elsewhere:1")
    monkeypatch.setenv("HOOKD_PROJECT", "blue")
    assert repr(hookd.connect()) == "<Client address='elsewhere:1' project='blue'>"
    assert hookd.connect("here:2", project="red").address == "here:2"


@pytest.mark.parametrize(
    "address", ["", "localhost", "http://localhost:4666", "HTTPS://localhost", "grpc://localhost:1"]
)
def test_an_address_is_a_host_and_a_port(address):
    """gRPC itself would take port 443, or look for a machine named http."""
    with pytest.raises(InvalidArgumentError, match="address: "):
        hookd.connect(address)


@pytest.mark.parametrize(
    "address", ["h:1", "[::1]:1", "dns:///h:1", "unix:///tmp/s", "ipv4:1.2.3.4:5"]
)
def test_what_grpc_takes_as_an_address(address):
    assert hookd.connect(address).address == address


@pytest.mark.parametrize("key", ["line\nbreak", "schlüssel"])
def test_a_bad_api_key_is_not_shown(key):
    with pytest.raises(InvalidArgumentError) as caught:
        hookd.connect(api_key=key)
    assert key not in str(caught.value)


async def test_the_api_key_and_nothing_of_it_elsewhere(daemon):
    async def get_stats(request, context):
        from hookd.v1.admin_service_pb2 import GetStatsResponse

        return GetStatsResponse(version="1")

    daemon.on(GetStats=get_stats)
    async with hookd.connect(daemon.address, api_key="s3cret", project="p") as client:
        assert (await client.stats()).version == "1"
        assert "s3cret" not in repr(client)
    assert daemon.metadata[0]["authorization"] == "Bearer s3cret"
    assert daemon.requests("GetStats")[0].project == "p"


@pytest.mark.parametrize("bad", [-1, 2**64, 1.5, "1", True])
async def test_bad_positions(client, daemon, bad):
    run = client.get_run("r")
    for call in (
        lambda: run.events(after=bad),
        lambda: run.watch(after=bad),
        lambda: client.list_runs(limit=bad),
        lambda: client.list_hooks(limit=bad),
        lambda: hookd.Hook(client._transport, run, hook_id="h", token="t").payloads(after=bad),
    ):
        with pytest.raises(InvalidArgumentError, match=r"after|limit"):
            await anext(call())
    if bad != -1:
        with pytest.raises(InvalidArgumentError, match="start_index"):
            run.readable(start_index=bad)
    assert daemon.seen == []


async def test_times_without_a_zone_are_local(client, daemon):
    async def list_runs(request, context):
        return run_service_pb2.ListRunsResponse()

    daemon.on(ListRuns=list_runs)
    local = datetime.datetime(2026, 1, 2, 3, 4, 5)
    async for _ in client.list_runs(created_after=local, created_before=local.astimezone()):
        pass
    request = daemon.requests("ListRuns")[0]
    assert request.created_after == request.created_before
    assert request.created_after.seconds == local.timestamp()


async def test_pages_are_put_together(client, daemon):
    async def list_runs(request, context):
        at = int(request.page_token or 0)
        ids = [f"run{n}" for n in range(at, min(at + request.page_size, 450))]
        # A page may be empty and still not be the last.
        short = [] if at == 200 and len(daemon.requests("ListRuns")) == 2 else ids
        end = at + len(short)
        return run_service_pb2.ListRunsResponse(
            runs=[common_pb2.Run(run_id=i) for i in short],
            next_page_token=str(end) if end < 450 else "",
        )

    daemon.on(ListRuns=list_runs)
    assert [r.run_id async for r in client.list_runs()] == [f"run{n}" for n in range(450)]
    daemon.seen.clear()
    assert len([r async for r in client.list_runs(limit=220, status=["failed", "running"])]) == 220
    assert [r async for r in client.list_runs(limit=0)] == []
    with pytest.raises(InvalidArgumentError, match='status: must be one of "pending"'):
        await anext(client.list_runs(status="lost"))
