"""How much a project may have. What would be more is refused, and leaves nothing behind.

A limit is looked at where something new comes from outside: a claim, a start,
a payload, a chunk. What a run at work needs to get to its end (the results of
its steps, its output) is counted, and never refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from hookd_daemon.core import keys, usage
from hookd_daemon.errors import LimitExceededError
from hookd_daemon.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Limits:
    """What a project may have; 0 for as much as it likes.

    Attributes:
        active_hooks: tokens that are taken, held ones too.
        active_runs: runs that have not ended.
        payload_bytes: bytes of payloads that are kept for runs that were not removed.
    """

    active_hooks: int = 0
    active_runs: int = 0
    payload_bytes: int = 0


NO_LIMITS = Limits()


async def refused_claim(
    tx: Tx, limits: Limits, project: str, token: str, size: int
) -> LimitExceededError | None:
    """Why a token may not be claimed; None when it may, or when it is taken.

    Who asks for a token that is taken gets nothing, and is told who has it.

    Args:
        tx: the transaction.
        limits: what the project may have.
        project: the project.
        token: the token.
        size: bytes of the metadata that come with the claim.
    """
    most = limits.active_hooks
    if not most and not (size and limits.payload_bytes):
        return None
    if await tx.owner(project, token) is not None:
        return None
    if most and await tx.count_claims(project) >= most:
        advice = "dispose hooks or end their runs, or raise --max-active-hooks"
        return LimitExceededError("active_hooks", most, advice)
    return await _refused_bytes(tx, limits, project, size)


async def require_room_for_run(tx: Tx, limits: Limits, project: str, size: int) -> None:
    """Checks that a project may have one more run.

    Args:
        tx: the transaction.
        limits: what the project may have.
        project: the project.
        size: bytes of the run's input.

    Raises:
        LimitExceededError: it may not.
    """
    most = limits.active_runs
    if most and await tx.number(keys.usage(project, usage.ACTIVE_RUNS)) >= most:
        advice = "end runs, or raise --max-active-runs"
        raise LimitExceededError("active_runs", most, advice)
    await require_room_for_payload(tx, limits, project, size)


async def require_room_for_payload(tx: Tx, limits: Limits, project: str, size: int) -> None:
    """Checks that so many bytes of payloads more may be kept for a project.

    Raises:
        LimitExceededError: they may not.
    """
    refusal = await _refused_bytes(tx, limits, project, size)
    if refusal is not None:
        raise refusal


async def _refused_bytes(
    tx: Tx, limits: Limits, project: str, size: int
) -> LimitExceededError | None:
    most = limits.payload_bytes
    if not most or not size:
        return None
    if await tx.number(keys.usage(project, usage.PAYLOAD_BYTES)) + size <= most:
        return None
    advice = "wait until old runs are removed (see --retention), or raise --max-payload-bytes"
    return LimitExceededError("payload_bytes", most, advice)
