"""The HTTP endpoints: liveness, readiness, and metrics that move with what happens."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import CreateHooksRequest, HookClaim
from hookd.v1.run_service_pb2 import (
    CONFLICT_POLICY_TAKE_OVER,
    CancelRunRequest,
    FailRunRequest,
    GetRunRequest,
)
from prometheus_client.parser import text_string_to_metric_families

from tests.support.api import Api, refusal, seconds, unique
from tests.support.concurrency import eventually
from tests.support.daemon import HOOKD, PATIENCE, Daemon


def get(daemon: Daemon, path: str) -> tuple[int, str, str]:
    """Status, content type and text of an endpoint."""
    with urllib.request.urlopen(f"http://{daemon.http}{path}", timeout=PATIENCE) as answer:
        return answer.status, answer.headers["content-type"], answer.read().decode()


class Numbers:
    """All metrics at one moment."""

    def __init__(self, daemon: Daemon) -> None:
        status, content_type, text = get(daemon, "/metrics")
        assert status == 200
        assert content_type.startswith("text/plain")
        self._samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of the samples with this name and these labels."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


Moved = Callable[..., float]


@pytest.fixture
def moved(daemon: Daemon) -> Moved:
    """How far a metric has moved since the test began."""
    before = Numbers(daemon)
    return lambda name, **labels: Numbers(daemon)(name, **labels) - before(name, **labels)


@pytest.fixture
def own(daemon: Daemon) -> Api:
    """The API of the test's own daemon."""
    return Api(daemon.channel())


def test_alive_and_ready(daemon: Daemon) -> None:
    """Both say so in JSON."""
    status, kind, text = get(daemon, "/healthz")
    assert (status, kind, json.loads(text)) == (200, "application/json", {"status": "alive"})
    status, kind, text = get(daemon, "/readyz")
    assert (status, kind, json.loads(text)) == (200, "application/json", {"status": "serving"})


def test_http_can_be_turned_off(tmp_path: Path) -> None:
    """The daemon serves all the same, and says that there is no such address."""
    ready = tmp_path / "ready"
    command = [HOOKD, "serve", f"--data-dir={tmp_path / 'data'}", "--listen=127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--http=", f"--ready-file={ready}"], stderr=subprocess.DEVNULL
    ) as process:
        try:
            eventually(lambda: ready.exists() or process.poll() is not None)
            assert process.poll() is None
            facts = json.loads(ready.read_text())
            assert facts["http"] is None
            with grpc.insecure_channel(facts["grpc"]) as channel:
                assert Api(channel).start("run").run.run_id == "run"
        finally:
            process.terminate()
        assert process.wait(PATIENCE) == 0


def test_claims_conflicts_and_active_tokens(daemon: Daemon, own: Api, moved: Moved) -> None:
    """Single claims, batches and starts count alike."""
    own.start("owner")
    own.start("other")
    own.claim("owner", "one")
    refusal(own.claim, "other", "one")
    hooks = [
        HookClaim(run_id="other", hook=HookSpec(hook_id=f"batch-{i}", token=token))
        for i, token in enumerate(["one", "two", "three"])
    ]
    own.hooks.CreateHooks(CreateHooksRequest(hooks=hooks))
    own.start("third", claims=[HookSpec(token="four")])
    refusal(own.start, "fourth", claims=[HookSpec(token="four")])
    assert moved("hookd_claims_total") == 4
    assert moved("hookd_conflicts_total") == 3
    assert Numbers(daemon)("hookd_tokens_active", hookd_project="default") == 4
    own.complete("other")
    assert Numbers(daemon)("hookd_tokens_active", hookd_project="default") == 2


def _dispose(api: Api, hook_id: str) -> None:
    api.dispose("run", hook_id)


def _complete(api: Api, _: str) -> None:
    api.complete("run")


def _fail(api: Api, _: str) -> None:
    api.runs.FailRun(FailRunRequest(run_id="run"))


def _cancel(api: Api, _: str) -> None:
    api.runs.CancelRun(CancelRunRequest(run_id="run"))


def _take_over(api: Api, _: str) -> None:
    api.start("new", claims=[HookSpec(token="t")], on_conflict=CONFLICT_POLICY_TAKE_OVER)


RELEASES: dict[str, Callable[[Api, str], None]] = {
    "disposed": _dispose,
    "completed": _complete,
    "failed": _fail,
    "cancelled": _cancel,
    "superseded": _take_over,
}


@pytest.mark.parametrize("cause", RELEASES)
def test_a_release_counts_by_its_cause(own: Api, moved: Moved, cause: str) -> None:
    """And by no other."""
    own.start("run")
    own.claim("run", "t", "hook")
    RELEASES[cause](own, "hook")
    assert moved("hookd_releases_total", cause=cause) == 1
    assert moved("hookd_releases_total") == 1


def test_a_release_by_time_counts_by_its_cause(own: Api, moved: Moved) -> None:
    """A hook's ttl, a run's lease, and the hold after a run's end."""
    own.start("ttl")
    own.claim("ttl", "with ttl", ttl=seconds(0.05))
    own.start("lease", lease_ttl=seconds(0.1))
    own.claim("lease", "with lease")
    own.start("hold")
    own.claim("hold", "with hold", hold_after=seconds(0.05))
    own.complete("hold")
    for cause in ("expired", "lease_expired", "hold_ended"):
        eventually(lambda cause=cause: moved("hookd_releases_total", cause=cause) >= 1)
    assert moved("hookd_releases_total") == 3


def test_resumes_and_their_duplicates(own: Api, moved: Moved) -> None:
    """A duplicate is no second resume."""
    own.start("run")
    own.claim("run", "t")
    own.resume("t", "1", "first")
    own.resume("t", "2", "second")
    own.resume("t", "1", "first")
    assert moved("hookd_resumes_total") == 2
    assert moved("hookd_resume_duplicates_total") == 1


def test_commits_and_flushes_and_requests(daemon: Daemon, own: Api, moved: Moved) -> None:
    """Their times and sizes are histograms."""
    for _ in range(3):
        own.start(unique("run"))
    refusal(own.runs.GetRun, GetRunRequest(run_id="nobody"))
    call = {"rpc_service": "hookd.v1.RunService", "rpc_method": "StartRun"}
    assert moved("hookd_request_duration_seconds_count", **call, rpc_grpc_code="OK") == 3
    assert moved("hookd_request_duration_seconds_sum", **call) > 0
    read = {"rpc_method": "GetRun", "rpc_grpc_code": "NOT_FOUND"}
    assert moved("hookd_request_duration_seconds_count", **read) == 1
    # One after the other, each start was flushed by itself.
    assert moved("hookd_flush_duration_seconds_count") == 3
    assert moved("hookd_flush_duration_seconds_sum") > 0
    assert moved("hookd_commit_group_size_count") == 3
    assert moved("hookd_commit_group_size_sum") == 3


def test_no_metric_shows_a_token(daemon: Daemon, own: Api) -> None:
    """Whatever became of it."""
    own.start("run")
    own.start("other")
    own.claim("run", "a-very-secret-token", "hook")
    refusal(own.claim, "other", "a-very-secret-token")
    own.resume("a-very-secret-token")
    assert "a-very-secret" not in get(daemon, "/metrics")[2]


def test_the_path_of_something_else_is_not_found(daemon: Daemon) -> None:
    """Beside the console nothing is served but what is named."""
    status, kind, text = get(daemon, "/")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert "<h1>Overview</h1>" in text
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(daemon, "/metric")
    assert refused.value.code == 404
    refused.value.close()
