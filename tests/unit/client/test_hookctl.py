"""hookctl: what it prints, and what it exits with."""

import asyncio
import io
import json
import os
import pty
import subprocess
import sys
import threading

import grpc
import pytest
from hookd.cli.app import run
from hookd.cli.output import shown, token_hash
from hookd.v1 import common_pb2, errors_pb2, events_pb2, hook_service_pb2, run_service_pb2

from tests.unit.client.fake import FakeDaemon, refuse

Code = grpc.StatusCode


@pytest.fixture
def daemon():
    """A fake on a loop of its own, for a command that has its own, too."""
    fake = FakeDaemon()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(fake.start(), loop).result(10)
    yield fake
    asyncio.run_coroutine_threadsafe(fake.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def hookctl(daemon, capsys):
    def call(*words: str):
        timeout = [] if "--timeout" in words else ["--timeout", "2"]
        code = run(["--address", daemon.address, *timeout, *words])
        out, err = capsys.readouterr()
        return int(code), out, err

    return call


def a_run(**facts) -> common_pb2.Run:
    found = common_pb2.Run(
        run_id="run_1", workflow="check\x1b[31mout", status=common_pb2.RUN_STATUS_RUNNING, **facts
    )
    found.created_at.FromSeconds(1_700_000_000)
    return found


def test_runs_list(daemon, hookctl):
    async def list_runs(request, context):
        return run_service_pb2.ListRunsResponse(runs=[a_run()])

    daemon.on(ListRuns=list_runs)
    code, out, err = hookctl("runs", "list", "--status", "running", "--workflow", "w")
    assert (code, err) == (0, "")
    assert "run_1" in out
    assert "\\x1b[31m" in out
    assert "\x1b[31m" not in out
    request = daemon.requests("ListRuns")[0]
    assert (list(request.statuses), request.workflow) == ([common_pb2.RUN_STATUS_RUNNING], "w")
    code, out, _ = hookctl("--json", "runs", "list")
    (found,) = json.loads(out)
    assert found["run_id"] == "run_1"
    assert found["status"] == "running"
    assert found["created_at"] == "2023-11-14T22:13:20Z"


def test_runs_get(daemon, hookctl):
    async def get_run(request, context):
        payload = common_pb2.Payload(content_type="text/xml", data=b"\xff")
        return run_service_pb2.GetRunResponse(run=a_run(input=payload))

    daemon.on(GetRun=get_run)
    assert "run_1" in hookctl("runs", "get", "run_1")[1]
    found = json.loads(hookctl("runs", "get", "run_1", "--json")[1])
    assert found["input"] == {"content_type": "text/xml", "data": "_w=="}


def test_a_failure_is_shown_to_people_with_its_lines(daemon, hookctl):
    trace = 'Traceback (most recent call last):\n  File "shop.py", line 3\nValueError: no \x1b[0m\n'
    details = common_pb2.Payload(
        content_type="application/json", data=json.dumps({"traceback": trace, "args": [1]}).encode()
    )
    failure = common_pb2.Failure(type="ValueError", message="no \x1b[0m", details=details)

    async def get_run(request, context):
        run = a_run(failure=failure)
        run.status = common_pb2.RUN_STATUS_FAILED
        return run_service_pb2.GetRunResponse(run=run)

    daemon.on(GetRun=get_run)
    lines = hookctl("runs", "get", "run_1")[1].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("failure"))
    shown_lines = [line.removeprefix("failure").strip() for line in lines[first : first + 3]]
    assert shown_lines == [
        "ValueError: no \\x1b[0m",
        "Traceback (most recent call last):",
        'File "shop.py", line 3',
    ]
    assert lines[first + 3].startswith("created at")
    assert "\x1b" not in "".join(lines)
    found = json.loads(hookctl("runs", "get", "run_1", "--json")[1])
    assert found["failure"]["details"] == {"traceback": trace, "args": [1]}


def test_no_line_ends_with_blanks_where_nobody_looks(daemon, hookctl):
    async def list_runs(request, context):
        return run_service_pb2.ListRunsResponse(runs=[a_run(), a_run()])

    async def get_run(request, context):
        return run_service_pb2.GetRunResponse(run=a_run(cancel_reason="a reason " * 9))

    daemon.on(ListRuns=list_runs, GetRun=get_run)
    for words in (["runs", "list"], ["runs", "get", "run_1"]):
        out = hookctl(*words)[1]
        assert out.count("\n") > 3
        assert [line for line in out.splitlines() if line != line.rstrip()] == []


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ({"status": "COMPLETED", "output": b'"paid\\n"'}, (0, "paid\\n\n", "")),
        ({"status": "COMPLETED", "output": b'{"a":[1]}'}, (0, '{"a":[1]}\n', "")),
        ({"status": "COMPLETED"}, (0, "null\n", "")),
        ({"status": "FAILED"}, (1, "", "hookctl: Run run_1 failed: Boom: no\n")),
        ({"status": "CANCELLED"}, (1, "", "hookctl: Run run_1 was cancelled: enough\n")),
        ({"status": "RUNNING"}, (7, "", "hookctl: Run run_1 has not ended within 0.01 s\n")),
    ],
    ids=["text", "value", "nothing", "failed", "cancelled", "still running"],
)
def test_runs_wait(daemon, hookctl, ending, expected):
    run = a_run(
        failure=common_pb2.Failure(type="Boom", message="no"),
        cancel_reason="enough",
    )
    run.status = common_pb2.RunStatus.Value(f"RUN_STATUS_{ending['status']}")
    if "output" in ending:
        run.output.content_type, run.output.data = "application/json", ending["output"]

    async def get_run(request, context):
        return run_service_pb2.GetRunResponse(run=run)

    async def await_run(request, context):
        return run_service_pb2.AwaitRunResponse(run=run)

    daemon.on(GetRun=get_run, AwaitRun=await_run)
    assert hookctl("runs", "wait", "run_1", "--within", "10ms") == expected


def test_runs_wait_for_programs(daemon, hookctl):
    output = common_pb2.Payload(content_type="application/json", data=b'{"paid":5}')
    run = a_run(output=output)
    run.status = common_pb2.RUN_STATUS_COMPLETED

    async def answer(request, context):
        if request.run_id == "lost":
            await refuse(context, Code.NOT_FOUND, "RUN_NOT_FOUND", {}, message="no run")
        return run_service_pb2.GetRunResponse(run=run)

    async def await_run(request, context):
        return run_service_pb2.AwaitRunResponse(run=run)

    daemon.on(GetRun=answer, AwaitRun=await_run)
    assert json.loads(hookctl("runs", "wait", "run_1", "--json")[1]) == {
        "run_id": "run_1", "status": "completed", "output": {"paid": 5},
    }  # fmt: skip
    assert hookctl("runs", "wait", "lost") == (3, "", "hookctl: no run\n")
    assert hookctl("runs", "wait", "run_1", "--within", "soon")[0] == 2


def log(*, secret: str) -> list[events_pb2.Event]:
    return [
        events_pb2.Event(seq=1, run_created=events_pb2.RunCreated(workflow="w")),
        events_pb2.Event(
            seq=2, correlation_id="h", hook_created=events_pb2.HookCreated(token=secret)
        ),
        events_pb2.Event(
            seq=3,
            hook_conflict=events_pb2.HookConflicted(
                conflict=errors_pb2.HookConflict(token=secret, run_id="owner")
            ),
        ),
        events_pb2.Event(seq=4, run_cancelled=events_pb2.RunCancelled(reason="enough")),
    ]


def test_events_show_no_tokens_unless_asked(daemon, hookctl):
    async def list_events(request, context):
        events = log(secret="s3cret")[request.after_seq :]
        return run_service_pb2.ListEventsResponse(events=events, last_seq=4)

    async def watch(request, context):
        for event in log(secret="s3cret"):
            yield run_service_pb2.WatchRunResponse(event=event)

    async def get_run(request, context):
        return run_service_pb2.GetRunResponse(run=a_run())

    daemon.on(ListEvents=list_events, WatchRun=watch, GetRun=get_run)
    for words in (["runs", "events", "r"], ["runs", "watch", "r"]):
        for more in ([], ["--json"]):
            code, out, _ = hookctl(*words, *more)
            assert code == 0
            assert "s3cret" not in out
            assert out.count(token_hash("default", "s3cret")) == 2
            assert hookctl(*words, *more, "--show-tokens")[1].count("s3cret") == 2
    assert len(json.loads(hookctl("runs", "events", "r", "--json", "--after", "2")[1])) == 2
    lines = hookctl("runs", "watch", "r", "--json")[1].splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3, 4]


def test_runs_start_and_cancel(daemon, hookctl):
    async def start(request, context):
        return run_service_pb2.StartRunResponse(
            outcome=run_service_pb2.START_OUTCOME_STARTED,
            run=common_pb2.Run(run_id=request.run_id),
        )

    async def cancel(request, context):
        return run_service_pb2.CancelRunResponse()

    daemon.on(StartRun=start, CancelRun=cancel)
    words = ["runs", "start", "w", "--input", '{"a": 1}', "--run-id", "x", "--attribute", "k=v"]
    assert hookctl(*words) == (0, "x\n", "")
    request = daemon.requests("StartRun")[0]
    assert (request.input.data, dict(request.attributes)) == (b'{"a":1}', {"k": "v"})
    assert hookctl("runs", "start", "w", "--attribute", "k")[0] == 2
    assert hookctl("runs", "cancel", "x", "--reason", "enough")[0] == 0
    assert daemon.requests("CancelRun")[0].reason == "enough"


def test_runs_complete_and_fail(daemon, hookctl):
    async def complete(request, context):
        if request.run_id == "ended":
            await refuse(context, Code.FAILED_PRECONDITION, "RUN_NOT_ACTIVE", {}, message="ended")
        return run_service_pb2.CompleteRunResponse()

    async def fail(request, context):
        return run_service_pb2.FailRunResponse()

    daemon.on(CompleteRun=complete, FailRun=fail)
    assert hookctl("runs", "complete", "x", "--output", '{"a": 1}') == (0, "Completed x\n", "")
    assert hookctl("runs", "complete", "ended") == (5, "", "hookctl: ended\n")
    assert hookctl("runs", "complete", "x", "--output", "{")[0] == 2
    assert [r.output.data for r in daemon.requests("CompleteRun")] == [b'{"a":1}', b"null"]
    words = ["--json", "runs", "fail", "x", "--message", "no more", "--type", "Empty"]
    assert json.loads(hookctl(*words)[1]) == {"run_id": "x", "status": "failed"}
    assert hookctl("runs", "fail", "y") == (0, "Failed y\n", "")
    failures = [r.failure for r in daemon.requests("FailRun")]
    assert [(f.type, f.message) for f in failures] == [("Empty", "no more"), ("Error", "")]


def test_hooks(daemon, hookctl, monkeypatch):
    hook = common_pb2.Hook(
        run_id="r",
        hook_id="h",
        token="t/1",
        status=common_pb2.HOOK_STATUS_ACTIVE,
        url="http://127.0.0.1:4666/webhooks/p/t%2F1",
    )

    async def get_hook(request, context):
        if request.token == "none":
            await refuse(
                context, Code.NOT_FOUND, "HOOK_NOT_FOUND", {"token": "none"}, message="no hook"
            )
        return hook_service_pb2.GetHookResponse(hook=hook)

    async def list_hooks(request, context):
        return hook_service_pb2.ListHooksResponse(hooks=[hook])

    async def dispose(request, context):
        return hook_service_pb2.DisposeHookResponse(hook=hook)

    async def resume(request, context):
        return hook_service_pb2.ResumeHookResponse(run_id="r", hook_id="h", payload_seq=3)

    daemon.on(GetHook=get_hook, ListHooks=list_hooks, DisposeHook=dispose, ResumeHook=resume)
    assert "t/1" in hookctl("hooks", "list", "--prefix", "t")[1]
    assert "t/1" in hookctl("hooks", "list", "--run", "r")[1]
    assert [r.run_id for r in daemon.requests("ListHooks")] == ["", "r"]
    assert "t/1" in hookctl("hooks", "get", "t/1")[1]
    assert f"url {hook.url}" in " ".join(hookctl("hooks", "get", "t/1")[1].split())
    listed = json.loads(hookctl("hooks", "list", "--json")[1])
    assert [item["url"] for item in listed] == [hook.url]
    assert hookctl("hooks", "get", "none") == (3, "", "hookctl: no hook\n")
    assert "payload 3 of hook h of run r" in hookctl("hooks", "resume", "t/1", '{"a":[1]}')[1]
    assert hookctl("hooks", "resume", "t/1", "raw", "--content-type", "text/plain")[0] == 0
    assert hookctl("hooks", "resume", "--wait", "0", "t/1", "-5", "--payload-id", "p")[0] == 0
    assert hookctl("hooks", "resume", "--", "-t", "1")[0] == 0
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'["in"]')))
    assert hookctl("hooks", "resume", "t/1", "-")[0] == 0
    sent = [r.payload for r in daemon.requests("ResumeHook")]
    assert [(p.content_type, p.data) for p in sent] == [
        ("application/json", b'{"a":[1]}'),
        ("text/plain", b"raw"),
        ("application/json", b"-5"),
        ("application/json", b"1"),
        ("application/json", b'["in"]'),
    ]
    assert json.loads(hookctl("hooks", "dispose", "t/1", "--json")[1]) == {
        "run_id": "r", "hook_id": "h", "disposed": True,
    }  # fmt: skip
    ref = daemon.requests("DisposeHook")[0].ref
    assert (ref.run_id, ref.hook_id) == ("r", "h")


@pytest.mark.parametrize(
    ("code", "reason", "exit_code"),
    [
        (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", 2),
        (Code.INVALID_ARGUMENT, "ID_REUSED", 2),
        (Code.NOT_FOUND, "RUN_NOT_FOUND", 3),
        (Code.NOT_FOUND, "HOOK_NOT_FOUND", 3),
        (Code.ALREADY_EXISTS, "HOOK_CONFLICT", 4),
        (Code.ALREADY_EXISTS, "RUN_EXISTS", 4),
        (Code.FAILED_PRECONDITION, "RUN_NOT_ACTIVE", 5),
        (Code.UNAVAILABLE, "STORE_UNAVAILABLE", 6),
        (Code.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", 6),
        (Code.INTERNAL, "", 1),
    ],
)
def test_exit_codes(daemon, hookctl, code, reason, exit_code):
    async def get_run(request, context):
        await refuse(context, code, reason, {}, message="two\nlines \x1b[0m")

    daemon.on(GetRun=get_run)
    words = ["--timeout", "300ms", "runs", "get", "r"]
    assert hookctl(*words) == (exit_code, "", "hookctl: two lines \\x1b[0m\n")


def test_no_answer_in_time(daemon, hookctl):
    async def get_run(request, context):
        await asyncio.sleep(1)

    daemon.on(GetRun=get_run)
    assert hookctl("--timeout", "200ms", "runs", "get", "r")[0] == 7


@pytest.mark.parametrize(
    "words",
    [
        ["lost"],
        ["runs", "get"],
        ["runs", "list", "--status", "odd"],
        ["runs", "list", "--limit", "many"],
        ["hooks", "resume", "t", "{bad"],
        ["hooks", "get", ""],
        ["hooks", "get", "t", "--wait", "soon"],
        ["--timeout", "never", "stats"],
        ["stats", "--unknown"],
    ],
)
def test_wrong_usage(hookctl, words):
    code, out, err = hookctl(*words)
    assert (code, out) == (2, "")
    assert err.startswith("hookctl: ")
    assert err.count("\n") == 1


def test_a_word_too_many_is_not_called_a_token(hookctl):
    code, _, err = hookctl("runs", "start", "w", "42")
    assert (code, err) == (
        2, "hookctl: hookctl runs start takes no 42; see hookctl runs start --help\n",
    )  # fmt: skip


def test_help_tells_the_exit_codes(hookctl):
    code, out, _ = hookctl("--help")
    assert code == 0
    assert "Exit codes" in out
    assert "the daemon cannot be reached" in out


def test_nobody_is_there():
    command = [sys.executable, "-c", "from hookd.cli import main; main()"]
    result = subprocess.run(
        # Long enough for a busy machine to refuse the connection in that time.
        [*command, "--address", "127.0.0.1:1", "--timeout", "2", "stats"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (6, "")
    assert result.stderr == (
        "hookctl: hookd at 127.0.0.1:1 cannot be reached: ipv4:127.0.0.1:1: Failed to connect to "
        "remote host: Connection refused (is it running there? see --address and HOOKD_ADDRESS)\n"
    )


def test_people_are_told_why_nothing_happens():
    """At a terminal, before the time is up."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from hookd.cli import main; main()"]
    result = subprocess.run(
        [*command, "--address", "127.0.0.1:1", "--timeout", "0.3", "stats"],
        stderr=theirs, stdout=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    os.close(theirs)
    first, last = os.read(ours, 4096).decode().splitlines()
    os.close(ours)
    assert result.returncode == 6
    assert first.startswith("hookctl: hookd at 127.0.0.1:1 cannot be reached: ")
    assert first.endswith("; trying again for up to 0.3 s")
    assert last.endswith("(is it running there? see --address and HOOKD_ADDRESS)")


def test_grpc_itself_says_nothing(daemon):
    """Core wrote a line for each handshake that failed."""
    words = ["--tls", "--address", daemon.address, "--timeout", "0.3", "stats"]
    result = subprocess.run(
        [sys.executable, "-c", "from hookd.cli import main; main()", *words],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 6
    assert result.stderr.startswith(f"hookctl: hookd at {daemon.address} cannot be reached: ")
    assert result.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough(daemon):
    async def list_runs(request, context):
        runs = [a_run() for _ in range(200)]
        return run_service_pb2.ListRunsResponse(runs=runs, next_page_token="more")

    daemon.on(ListRuns=list_runs)
    script = f"hookctl --address {daemon.address} runs list --limit 2000 | head -1; echo done"
    path = f"{sys.prefix}/bin:/usr/bin:/bin"
    result = subprocess.run(
        ["/bin/sh", "-c", script],
        capture_output=True, text=True, timeout=60, check=True, env={"PATH": path},
    )  # fmt: skip
    assert result.stderr == ""
    assert result.stdout.endswith("done\n")


def test_values_on_one_line():
    assert shown("a\nb\x07\u202e") == "a\\nb\\x07\\u202e"
    assert shown({"a": "ü"}) == '{"a":"ü"}'
    assert shown(None) == "-"


def test_the_hash_of_a_token_is_that_of_the_daemons_logs():
    logs = pytest.importorskip("hookd_daemon.logs")
    assert token_hash("p", "tök\0en") == logs.token_hash("p", "tök" + chr(0) + "en")
