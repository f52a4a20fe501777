"""So much is allowed and not one more: for many clients at once, every way in, after a crash."""

from __future__ import annotations

import collections
import urllib.request
from collections.abc import Callable, Iterator

import grpc
import pytest
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.errors_pb2 import ErrorReason
from hookd.v1.hook_service_pb2 import (
    ClaimStreamRequest,
    CreateHooksRequest,
    HookClaim,
    HookClaimResult,
)
from hookd.v1.run_service_pb2 import GetRunRequest, KeepAliveRequest
from hookd.v1.worker_service_pb2 import HeartbeatRequest
from hookd.v1.worker_service_pb2_grpc import WorkerServiceStub

from tests.support.api import Api, Refusal, json_payload, refusal, unique
from tests.support.concurrency import at_once
from tests.support.daemon import PATIENCE, Daemon, running

HOOKS, RUNS, BYTES, CALLS = 50, 7, 100, 5
CLIENTS = 16

#: Projects of each kind, one for each test.
LIMITS = {
    "hooks": ("max_active_hooks", HOOKS, 4),
    "runs": ("max_active_runs", RUNS, 2),
    "bytes": ("max_payload_bytes", BYTES, 2),
    "calls": ("max_calls_per_second", CALLS, 3),
}

#: A way to claim: says how many were claimed, and that the others were refused by the limit.
Way = Callable[[Api, str], int]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with projects that have limits."""
    folder = tmp_path_factory.mktemp("quotas")
    lines = [
        f"[projects.{kind}-{number}]\n{setting} = {most}\n"
        for kind, (setting, most, projects) in LIMITS.items()
        for number in range(1, projects + 1)
    ]
    file = folder / "hookd.toml"
    file.write_text("".join(lines))
    with running(folder, f"--config={file}") as daemon:
        yield daemon


def api_of(daemon: Daemon, project: str) -> Api:
    return Api(daemon.channel(), project)


def let_in(call: Callable[..., object], *args: object, **more: object) -> bool:
    """Whether a call was let in; if not, a limit was the reason."""
    try:
        call(*args, **more)
    except grpc.RpcError as error:
        told = Refusal(error)
    else:
        return True
    assert told.reason == "LIMIT_EXCEEDED", told.message
    return False


def full(limit: str, allowed: int, told: object) -> bool:
    facts = {"limit": limit, "allowed": str(allowed)}
    return getattr(told, "reason", "") == "LIMIT_EXCEEDED" and vars(told)["metadata"] == facts


def single(api: Api, run_id: str) -> int:
    return let_in(api.claim, run_id, unique("token"))


def not_plain(api: Api, run_id: str) -> int:
    return let_in(api.claim, run_id, None, metadata=json_payload("1"))


def claims(run_id: str, count: int) -> list[HookClaim]:
    spec = lambda: HookSpec(hook_id=unique("hook"), token=unique("token"))  # noqa: E731
    return [HookClaim(run_id=run_id, hook=spec()) for _ in range(count)]


def count(results: list[HookClaimResult]) -> int:
    """How many were claimed; the others are refused by the limit, item by item."""
    for result in results:
        if result.HasField("error"):
            assert result.error.reason == ErrorReason.ERROR_REASON_LIMIT_EXCEEDED
            assert dict(result.error.metadata) == {"limit": "active_hooks", "allowed": str(HOOKS)}
    return sum(result.HasField("claimed") for result in results)


def batch(api: Api, run_id: str) -> int:
    request = CreateHooksRequest(project=api.project, hooks=claims(run_id, 9))
    return count(list(api.hooks.CreateHooks(request).results))


def stream(api: Api, run_id: str) -> int:
    requests = [
        ClaimStreamRequest(batch_id=i, project=api.project, hooks=claims(run_id, 3))
        for i in range(1, 4)
    ]
    answers = list(api.hooks.ClaimStream(iter(requests), timeout=PATIENCE))
    return sum(count(list(answer.results)) for answer in answers)


def start(api: Api, run_id: str) -> int:
    return 2 * let_in(api.start, claims=[HookSpec(token=unique("token")) for _ in range(2)])


WAYS: list[Way] = [single, not_plain, batch, stream, start]


def test_claims_by_every_way_at_once_are_let_in_up_to_the_limit(daemon: Daemon) -> None:
    apis = [api_of(daemon, "hooks-1") for _ in range(CLIENTS)]
    apis[0].start("run")

    def claim_much(number: int) -> int:
        ways = [WAYS[(number + i) % len(WAYS)] for i in range(8)]
        return sum(way(apis[number], "run") for way in ways)

    # Those that claim two or nothing may leave one that nobody took.
    claimed = sum(at_once(CLIENTS, claim_much))
    claimed += single(apis[0], "run")
    assert claimed == HOOKS
    told = refusal(apis[0].claim, "run", "one-more", "refused")
    assert full("active_hooks", HOOKS, told), told.message
    assert "--max-active-hooks" in told.message
    assert refusal(apis[0].hook, "one-more").reason == "HOOK_NOT_FOUND"

    daemon.restart()
    api = api_of(daemon, "hooks-1")
    assert full("active_hooks", HOOKS, refusal(api.claim, "run", "one-more", "refused"))
    last = api.hooks.CreateHooks(CreateHooksRequest(project="hooks-1", hooks=claims("run", 3)))
    assert count(list(last.results)) == 0
    # What was refused asks anew, and a place that is given back is one place.
    ours = next(e.correlation_id for e in api.log("run") if e.HasField("hook_created"))
    api.dispose("run", ours)
    api.claim("run", "one-more", "refused")
    assert full("active_hooks", HOOKS, refusal(api.claim, "run", "again"))
    # Others have their own.
    other = Api(api.channel, "unlimited")
    other.start("run")
    many = other.hooks.CreateHooks(CreateHooksRequest(project="unlimited", hooks=claims("run", 99)))
    assert count(list(many.results)) == 99


def test_conflicts_and_retries_are_answered_at_the_limit(daemon: Daemon) -> None:
    api = api_of(daemon, "hooks-2")
    api.start("run")
    api.start("other")
    assert count(list(_claim_many(api, HOOKS))) == HOOKS
    token = next(e.hook_created.token for e in api.log("run") if e.HasField("hook_created"))
    lost = refusal(api.claim, "other", token, "loser")
    assert lost.conflict is not None
    assert lost.conflict.run_id == "run"
    assert refusal(api.claim, "other", token, "loser").reason == "HOOK_CONFLICT"


def _claim_many(api: Api, many: int) -> list[HookClaimResult]:
    request = CreateHooksRequest(project=api.project, hooks=claims("run", many))
    return list(api.hooks.CreateHooks(request).results)


def test_runs_are_let_in_up_to_the_limit(daemon: Daemon) -> None:
    apis = [api_of(daemon, "runs-1") for _ in range(CLIENTS)]

    def start_some(number: int) -> list[str]:
        ids = [f"run-{number}-{i}" for i in range(2)]
        return [run_id for run_id in ids if let_in(apis[number].start, run_id)]

    started = [run_id for some in at_once(CLIENTS, start_some) for run_id in some]
    assert len(started) == RUNS
    assert full("active_runs", RUNS, refusal(apis[0].start, "one-more"))
    daemon.restart()
    api = api_of(daemon, "runs-1")
    assert full("active_runs", RUNS, refusal(api.start, "one-more"))
    api.start(started[0])  # a retry
    api.complete(started[0])
    api.start("one-more")
    assert full("active_runs", RUNS, refusal(api.start, "again"))


def test_payloads_are_let_in_up_to_the_limit(daemon: Daemon) -> None:
    apis = [api_of(daemon, "bytes-1") for _ in range(CLIENTS)]
    apis[0].start("run", claims=[HookSpec(token="t")])

    def send_some(number: int) -> int:
        return sum(let_in(apis[number].resume, "t", "123") for _ in range(3))

    assert sum(at_once(CLIENTS, send_some)) == BYTES // 3
    daemon.restart()
    api = api_of(daemon, "bytes-1")
    assert full("payload_bytes", BYTES, refusal(api.resume, "t", "12"))
    api.resume("t", "1")
    assert full("payload_bytes", BYTES, refusal(api.resume, "t", "1"))
    api.complete("run", '"what ends a run is never refused"')


def test_calls_over_their_number_are_refused_with_the_time_to_try_again(daemon: Daemon) -> None:
    api, other = api_of(daemon, "calls-1"), api_of(daemon, "other")
    api.start("run", lease_ttl={"seconds": 60})
    other.start("run")
    asking = GetRunRequest(project="calls-1", run_id="run")
    futures = [api.runs.GetRun.future(asking, timeout=PATIENCE) for _ in range(4 * CALLS)]
    for _ in range(2 * CALLS):
        other.run("run")
    outcomes = collections.Counter(f.exception() is None for f in futures)
    assert outcomes[False] > 0
    # The burst of a second, and what may be added while the calls come in.
    assert 0 < outcomes[True] <= 2 * CALLS
    error = next(f.exception() for f in futures if f.exception() is not None)
    told = refusal(_raise, error)
    assert told.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (told.metadata["limit"], told.metadata["allowed"]) == ("calls_per_second", str(CALLS))
    assert 1 <= int(told.metadata["retry_after_ms"]) <= 1000


def _raise(error: Exception) -> None:
    raise error


def test_what_keeps_work_going_is_not_refused(daemon: Daemon) -> None:
    api = api_of(daemon, "calls-2")
    api.start("run", lease_ttl={"seconds": 60})
    keep = KeepAliveRequest(project="calls-2", run_id="run")
    beat = HeartbeatRequest(project="calls-2", worker_id="w")
    workers = WorkerServiceStub(api.channel)
    for _ in range(3 * CALLS):
        api.runs.KeepAlive(keep, timeout=PATIENCE)
        workers.Heartbeat(beat, timeout=PATIENCE)
    # They count all the same.
    assert refusal(api.run, "run").metadata["limit"] == "calls_per_second"


def test_a_stream_of_claims_is_slowed_down_and_not_refused(daemon: Daemon) -> None:
    api = api_of(daemon, "calls-3")
    api.start("run")
    batches = [
        ClaimStreamRequest(batch_id=i, project="calls-3", hooks=claims("run", 2))
        for i in range(1, 2 * CALLS)
    ]
    answers = list(api.hooks.ClaimStream(iter(batches), timeout=PATIENCE))
    assert [answer.batch_id for answer in answers] == list(range(1, 2 * CALLS))
    assert sum(count(list(answer.results)) for answer in answers) == 2 * len(batches)


def refusals(daemon: Daemon) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{daemon.http}/metrics") as response:
        lines = response.read().decode().splitlines()
    name = "hookd_quota_refusals_total{"
    return {line.split('"')[1]: float(line.split()[-1]) for line in lines if line.startswith(name)}


def test_refusals_are_counted_by_limit(daemon: Daemon) -> None:
    hooks, runs, stored = (api_of(daemon, name) for name in ("hooks-3", "runs-2", "bytes-2"))
    before = refusals(daemon)
    hooks.start("run")
    assert count(_claim_many(hooks, HOOKS + 3)) == HOOKS
    refusal(hooks.claim, "run", "x")
    for i in range(RUNS):
        runs.start(f"run-{i}")
    refusal(runs.start)
    refusal(stored.start, input=json_payload("1" * (BYTES + 1)))
    after = refusals(daemon)
    assert {limit: after[limit] - before[limit] for limit in after} == {
        "active_hooks": 4,
        "active_runs": 1,
        "payload_bytes": 1,
        "calls_per_second": 0,
    }
