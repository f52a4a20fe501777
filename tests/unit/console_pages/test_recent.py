"""The conflicts that are kept in memory: bounded, in their order, read only when asked for."""

from __future__ import annotations

from hookd.v1.errors_pb2 import Error, HookConflict
from hookd.v1.hook_service_pb2 import (
    ClaimedHook,
    CreateHooksRequest,
    CreateHooksResponse,
    HookClaim,
    HookClaimResult,
)
from hookd_daemon.api.recent import MOST_BYTES, MOST_CONFLICTS, RecentConflicts
from hookd_daemon.errors import Conflict, HookConflictError


def _lost(token: str) -> HookClaimResult:
    detail = HookConflict(token=token, run_id="owner")
    message = HookConflictError(Conflict(detail)).message
    return HookClaimResult(error=Error(message=message, conflict=detail))


def _batch(*tokens: str) -> tuple[bytes, bytes]:
    """A batch that wins its first claim and loses the others."""
    hooks = [HookClaim(run_id=f"run-{token}") for token in ("won", *tokens)]
    results = [HookClaimResult(claimed=ClaimedHook(token="won")), *map(_lost, tokens)]
    return (
        CreateHooksRequest(hooks=hooks).SerializeToString(),
        CreateHooksResponse(results=results).SerializeToString(),
    )


def test_single_ones_and_those_of_batches_are_in_one_order() -> None:
    """Those of a batch with the runs that lost, by their places."""
    recent = RecentConflicts()
    recent.note(1, "first", HookConflict(token="a"), "trace", "theirs")
    recent.note_batch(2, *_batch("b", "c"), "of-the-call", streamed=False)
    recent.note(3, "last", HookConflict(token="d"))
    found = list(recent.newest_first())
    assert [(one.number, one.detail.token, one.loser) for one in found] == [
        (4, "d", "last"),
        (3, "c", "run-c"),
        (2, "b", "run-b"),
        (1, "a", "first"),
    ]
    assert [one.traceparent for one in found] == ["", "of-the-call", "of-the-call", "trace"]
    assert list(recent.newest_first()) == found


def test_a_batch_that_won_is_not_kept() -> None:
    """Nothing of it, and nobody is told."""
    recent = RecentConflicts()
    recent.note_batch(1, *_batch(), "", streamed=False)
    assert recent.changes == 0
    assert list(recent.newest_first()) == []


def test_only_the_last_ones_are_kept() -> None:
    """Whether somebody looks in between or not."""
    for looks in (False, True):
        recent = RecentConflicts()
        for number in range(2 * MOST_CONFLICTS):
            recent.note(number, "run", HookConflict(token=str(number)))
            if looks and number % 300 == 0:
                list(recent.newest_first())
        found = [int(one.detail.token) for one in recent.newest_first()]
        assert found == list(range(2 * MOST_CONFLICTS - 1, MOST_CONFLICTS - 1, -1))


def test_bytes_that_nobody_looks_at_are_bounded() -> None:
    """The oldest go first; the last batch is there however large it is."""
    recent = RecentConflicts()
    request, answer = _batch(*(f"{number:05d}" + "x" * 400 for number in range(900)))
    for number in range(50):
        recent.note_batch(number, request, answer, "", streamed=False)
    kept = recent.waiting_bytes
    assert kept <= MOST_BYTES
    assert kept > MOST_BYTES // 2
    found = list(recent.newest_first())
    assert found[0].at_ms == 49
    assert len(found) == MOST_CONFLICTS
    assert recent.waiting_bytes == 0
