"""A batch with a bad item, and cursors that belong elsewhere."""

from __future__ import annotations

import base64

import grpc
import pytest
from hookd.v1.common_pb2 import HookSpec, Payload
from hookd.v1.errors_pb2 import ErrorReason
from hookd.v1.hook_service_pb2 import (
    ClaimStreamRequest,
    CreateHooksRequest,
    HookClaim,
    HookClaimResult,
    ListHooksRequest,
)
from hookd.v1.run_service_pb2 import ListRunsRequest

from tests.support.api import Api, refusal, seconds


def claim(run_id: str, token: str, **more: object) -> HookClaim:
    return HookClaim(run_id=run_id, hook=HookSpec(token=token, **more))


MIXED = [
    (claim("run", "good-1"), ""),
    (claim("run", ""), "INVALID_ARGUMENT"),
    (claim("run", "x" * 513), "INVALID_ARGUMENT"),
    (claim("", "t"), "INVALID_ARGUMENT"),
    (claim("run", "t", hook_id="a b"), "INVALID_ARGUMENT"),
    (claim("run", "t", metadata=Payload(data=bytes(65537))), "INVALID_ARGUMENT"),
    (claim("run", "t", ttl=seconds(-1)), "INVALID_ARGUMENT"),
    (claim("run", "good-2"), ""),
    (claim("nobody", "t"), "RUN_NOT_FOUND"),
    (claim("ended", "t"), "RUN_NOT_ACTIVE"),
    (claim("run", "taken"), "HOOK_CONFLICT"),
    (claim("run", "t", hook_id="used"), "ID_REUSED"),
    (claim("run", "t", hook_id="gone"), "ID_REUSED"),
    (claim("run", "disposed", hook_id="gone"), "HOOK_NOT_FOUND"),
    (HookClaim(), "INVALID_ARGUMENT"),
    (claim("other", "good-3"), ""),
]


def prepare(api: Api) -> None:
    api.start("owner", claims=[HookSpec(token="taken")])
    api.start("ended")
    api.complete("ended")
    api.start("other")
    api.start("run")
    api.claim("run", "used", "used")
    api.claim("run", "disposed", "gone")
    api.dispose("run", "gone")


def check_mixed(api: Api, results: list[HookClaimResult]) -> None:
    """The good ones are claimed, the bad ones told why, each in its place."""
    assert len(results) == len(MIXED)
    for n, ((asked, reason), result) in enumerate(zip(MIXED, results, strict=True)):
        if not reason:
            assert result.claimed.token == asked.hook.token, n
            assert api.hook(asked.hook.token).run_id == asked.run_id
            continue
        error = result.error
        assert ErrorReason.Name(error.reason) == f"ERROR_REASON_{reason}", n
        assert error.message, n
        assert error.code not in (0, grpc.StatusCode.INTERNAL.value[0], 2), n
        if reason == "INVALID_ARGUMENT":
            assert error.metadata["field"].startswith(f"hooks[{n}]."), n
        if reason == "HOOK_CONFLICT":
            assert error.conflict.run_id == "owner"
    tokens = {h.token for h in api.hooks.ListHooks(ListHooksRequest(project=api.project)).hooks}
    assert tokens == {"taken", "used", "good-1", "good-2", "good-3"}


def test_batch_with_bad_items(api: Api) -> None:
    prepare(api)
    request = CreateHooksRequest(project=api.project, hooks=[asked for asked, _ in MIXED])
    check_mixed(api, list(api.hooks.CreateHooks(request).results))


def test_claim_stream_with_bad_items(api: Api) -> None:
    prepare(api)
    good = [claim("run", f"more-{n}") for n in range(3)]
    batches = [
        ClaimStreamRequest(project=api.project, batch_id=7, hooks=[a for a, _ in MIXED]),
        ClaimStreamRequest(project=api.project, batch_id=3, hooks=[]),
        ClaimStreamRequest(project=api.project, batch_id=9, hooks=good),
    ]
    answers = api.hooks.ClaimStream(iter(batches), timeout=30)
    first = next(answers)
    second, third = answers
    assert [first.batch_id, second.batch_id, third.batch_id] == [7, 3, 9]
    assert len(second.results) == 0
    assert all(result.HasField("claimed") for result in third.results)
    for n in range(3):
        api.dispose("run", third.results[n].claimed.hook_id)
    check_mixed(api, list(first.results))


@pytest.mark.parametrize("kind", ["too many", "another project", "not a message"])
def test_claim_stream_with_a_bad_batch(api: Api, kind: str) -> None:
    """The stream ends with a clear error; what it had answered counts."""
    api.start("run")
    good = ClaimStreamRequest(project=api.project, hooks=[claim("run", "good")])
    field, bad = {
        "too many": (
            "hooks",
            ClaimStreamRequest(
                project=api.project, hooks=[claim("run", f"t{n}") for n in range(1025)]
            ).SerializeToString(),
        ),
        "another project": (
            "project",
            ClaimStreamRequest(
                project=f"{api.project}-2", hooks=[claim("run", "t")]
            ).SerializeToString(),
        ),
        "not a message": ("request", b"\xff\xff\xff"),
    }[kind]
    stream = api.channel.stream_stream("/hookd.v1.HookService/ClaimStream")
    answers = stream(iter([good.SerializeToString(), bad]), timeout=30)
    next(answers)
    told = refusal(next, answers)
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert list(told.fields) == [field]
    tokens = [h.token for h in api.hooks.ListHooks(ListHooksRequest(project=api.project)).hooks]
    assert tokens == ["good"]


def hooks_page(api: Api, **more: object) -> ListHooksRequest:
    return ListHooksRequest(**{"project": api.project, "page_size": 2, **more})


def runs_page(api: Api, **more: object) -> ListRunsRequest:
    return ListRunsRequest(**{"project": api.project, "page_size": 2, **more})


def cursors(api: Api) -> dict[str, str]:
    """A cursor of each kind of list."""
    for n in range(5):
        api.start(f"run-{n}", claims=[HookSpec(token=f"t-{n}{m}") for m in range(3)])
    return {
        "tokens": api.hooks.ListHooks(hooks_page(api)).next_page_token,
        "tokens with prefix": api.hooks.ListHooks(
            hooks_page(api, token_prefix="t-1")
        ).next_page_token,
        "hooks of a run": api.hooks.ListHooks(hooks_page(api, run_id="run-1")).next_page_token,
        "runs": api.runs.ListRuns(runs_page(api)).next_page_token,
        "running runs": api.runs.ListRuns(runs_page(api, statuses=[2])).next_page_token,
    }


def test_cursor_of_another_query(api: Api) -> None:
    found = cursors(api)
    assert all(found.values())
    api.start("run-9", claims=[HookSpec(token="z")])
    wrong = [
        *[
            (api.hooks.ListHooks, hooks_page(api, page_token=found[k]))
            for k in found
            if k != "tokens"
        ],
        *[(api.runs.ListRuns, runs_page(api, page_token=found[k])) for k in found if k != "runs"],
        (api.hooks.ListHooks, hooks_page(api, run_id="run-2", page_token=found["hooks of a run"])),
        (api.hooks.ListHooks, hooks_page(api, project="other", page_token=found["tokens"])),
        (api.hooks.ListHooks, hooks_page(api, token_prefix="t", page_token=found["tokens"])),
        (api.runs.ListRuns, runs_page(api, statuses=[3], page_token=found["running runs"])),
        (api.runs.ListRuns, runs_page(api, workflow="w", page_token=found["runs"])),
        (api.runs.ListRuns, runs_page(api, project="other", page_token=found["runs"])),
    ]
    for call, request in wrong:
        told = refusal(call, request)
        assert told.code == grpc.StatusCode.INVALID_ARGUMENT, request
        assert list(told.fields) == ["page_token"]
        assert "filters" in told.fields["page_token"]
    # With another page size it is the same list.
    rest = api.hooks.ListHooks(hooks_page(api, page_size=1000, page_token=found["tokens"]))
    assert len(rest.hooks) == 14


@pytest.mark.parametrize(
    "cursor",
    ["x", "?", "%", "AAAA", "A" * 12, "=" * 8, "ü", "\0", "A" * 100_000, "AAAAAAAAAAAAAAAA"],
    ids=range(10),
)
def test_cursor_that_is_none(api: Api, cursor: str) -> None:
    for told in (
        refusal(api.hooks.ListHooks, hooks_page(api, page_token=cursor)),
        refusal(api.runs.ListRuns, runs_page(api, page_token=cursor)),
    ):
        assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
        assert list(told.fields) == ["page_token"]


@pytest.mark.parametrize("kind", ["tokens", "hooks of a run", "runs"])
@pytest.mark.parametrize(
    "tail", [b"\xff\xfe", b"\0", b"", b"\xff" * 64], ids=["no text", "NUL", "none", "long"]
)
def test_cursor_that_was_tampered_with(api: Api, kind: str, tail: bytes) -> None:
    """The end of a cursor is exchanged: refused, or some page of the list; never a failure."""
    token = cursors(api)[kind]
    raw = base64.urlsafe_b64decode(token)
    forged = base64.urlsafe_b64encode(raw[:8] + tail).decode()
    try:
        if kind == "runs":
            api.runs.ListRuns(runs_page(api, page_token=forged))
        else:
            run_id = "run-1" if kind == "hooks of a run" else ""
            api.hooks.ListHooks(hooks_page(api, run_id=run_id, page_token=forged))
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error.details()  # noqa: PT017
