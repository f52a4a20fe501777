"""Claims of tokens, the same on every engine."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hookd_daemon.errors import RunNotFoundError
from hookd_daemon.records.v1.records_pb2 import ClaimRecord
from hookd_daemon.store.tx import Store, Tx

from tests.conformance.conftest import Opener, claim, claim_of

P = "project"


async def owner(tx: Tx, token: str, project: str = P) -> ClaimRecord | None:
    return await tx.owner(project, token)


async def release(tx: Tx, token: str, record: ClaimRecord) -> None:
    tx.release(P, token, record)


async def held_by(tx: Tx, run: int, project: str = P) -> list[str]:
    return [token for token, _ in await tx.claims_of(project, run)]


async def listed(tx: Tx, prefix: str, after: str | None, limit: int) -> list[str]:
    return [token for token, _ in await tx.scan_claims(P, prefix, after, limit)]


async def revision(tx: Tx) -> int:
    return tx.revision()


async def take(store: Store, run: int, token: str) -> ClaimRecord:
    """Claims a token that is free."""
    record = claim_of(run)
    assert await store.transact(claim, P, token, record) is None
    return record


async def test_claim_binds_and_the_next_one_loses(store: Store) -> None:
    first = await take(store, 1, "t")
    assert first.revision > 0
    loser = claim_of(2)
    assert await store.transact(claim, P, "t", loser) == first
    assert await store.transact(owner, "t") == first
    # The same run again is no exception: what a retry is, core decides.
    assert await store.transact(claim, P, "t", claim_of(1)) == first
    assert await store.transact(held_by, 2) == []


async def test_claim_keeps_what_the_record_says(store: Store) -> None:
    record = claim_of(1, claimed_ms=5, expires_ms=9, hold_after_ms=7, traceparent="00-a-b-01")
    await store.transact(claim, P, "t", record)
    assert await store.transact(owner, "t") == record


async def test_release_frees(store: Store) -> None:
    first = await take(store, 1, "t")
    await store.transact(release, "t", first)
    assert await store.transact(owner, "t") is None
    assert await store.transact(held_by, 1) == []
    assert await store.transact(listed, "", None, 10) == []
    second = await take(store, 2, "t")
    assert second.revision > first.revision


async def test_release_by_a_claim_of_old_takes_nothing_away(store: Store) -> None:
    """``release`` frees what *this* claim holds; the revision is the fence."""
    old = await take(store, 1, "t")
    await store.transact(release, "t", old)
    new = await take(store, 2, "t")
    await store.transact(release, "t", old)
    assert await store.transact(owner, "t") == new


async def test_amend_keeps_the_revision(store: Store) -> None:
    first = await take(store, 1, "t")
    changed = ClaimRecord()
    changed.CopyFrom(first)
    changed.held_until_ms = 77

    async def amend(tx: Tx) -> ClaimRecord | None:
        tx.amend(P, "t", changed)
        return await tx.owner(P, "t")

    assert await store.transact(amend) == changed
    assert await store.transact(owner, "t") == changed
    assert changed.revision == first.revision
    assert await store.transact(claim, P, "t", claim_of(2)) == changed


async def test_projects_are_apart(store: Store) -> None:
    await take(store, 1, "t")
    assert await store.transact(owner, "t", "other") is None
    assert await store.transact(claim, "other", "t", claim_of(2)) is None
    assert await store.transact(held_by, 2, "other") == ["t"]
    assert await store.transact(held_by, 2) == []
    # A name that begins like another.
    assert await store.transact(owner, "t", "proj") is None


async def test_one_function_sees_its_own_claims(store: Store) -> None:
    async def churn(tx: Tx) -> None:
        first = claim_of(1)
        assert await claim(tx, P, "t", first) is None
        assert await tx.owner(P, "t") == first
        assert await claim(tx, P, "t", claim_of(2)) == first
        assert [t for t, _ in await tx.claims_of(P, 1)] == ["t"]
        assert [t for t, _ in await tx.scan_claims(P, "", None, 9)] == ["t"]
        tx.release(P, "t", first)
        assert await tx.owner(P, "t") is None
        assert await tx.claims_of(P, 1) == []
        assert await tx.scan_claims(P, "", None, 9) == []
        second = claim_of(2)
        assert await claim(tx, P, "t", second) is None
        assert second.revision > first.revision

    await store.transact(churn)
    held = await store.transact(owner, "t")
    assert held is not None
    assert held.run_uid == 2


@pytest.mark.parametrize("error", [ValueError("x"), RunNotFoundError("r"), KeyboardInterrupt()])
async def test_an_exception_undoes_claims_and_releases(store: Store, error: BaseException) -> None:
    kept = await take(store, 1, "kept")
    moved = await take(store, 1, "moved")

    async def broken(tx: Tx) -> None:
        assert await claim(tx, P, "fresh", claim_of(2)) is None
        tx.release(P, "kept", kept)
        tx.release(P, "moved", moved)
        taken = claim_of(2)
        assert await claim(tx, P, "moved", taken) is None
        tx.release(P, "moved", taken)
        assert await claim(tx, P, "moved", claim_of(3)) is None
        raise error

    with pytest.raises(type(error)):
        await store.transact(broken)
    assert await store.transact(owner, "fresh") is None
    assert await store.transact(owner, "kept") == kept
    assert await store.transact(owner, "moved") == moved
    assert await store.transact(held_by, 1) == ["kept", "moved"]
    assert await store.transact(held_by, 2) == []
    assert await store.transact(held_by, 3) == []
    assert await store.transact(listed, "", None, 10) == ["kept", "moved"]
    later = await take(store, 4, "fresh")
    assert later.revision > moved.revision


async def test_a_function_that_waits_keeps_no_claim(store: Store) -> None:
    async def dawdle(tx: Tx) -> None:
        await claim(tx, P, "t", claim_of(1))
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError):
        await store.transact(dawdle)
    assert await store.transact(owner, "t") is None
    await take(store, 2, "t")


async def test_claims_of_a_run_in_the_order_of_their_revisions(store: Store) -> None:
    tokens = ["z", "a", "m", "B", "é", "\0", "y"]
    for token in tokens:
        await take(store, 1, token)
        await take(store, 2, token + "2")
    assert await store.transact(held_by, 1) == tokens
    middle = await store.transact(owner, "m")
    assert middle is not None
    await store.transact(release, "m", middle)
    assert await store.transact(held_by, 1) == ["z", "a", "B", "é", "\0", "y"]


async def test_scan_claims_pages_byte_by_byte(store: Store) -> None:
    tokens = ["a", "a\0", "a b", "a/b", "ab", "b", "é", "日本", "🎣", "a" * 512]
    for token in tokens:
        await take(store, 1, token)
    await store.transact(claim, "project2", "a-other", claim_of(1))
    ordered = sorted(tokens, key=str.encode)
    assert await store.transact(listed, "", None, 100) == ordered
    for size in (1, 2, 3):
        pages: list[str] = []
        after: str | None = None
        while page := await store.transact(listed, "", after, size):
            assert len(page) <= size
            pages += page
            after = page[-1]
        assert pages == ordered
    assert await store.transact(listed, "a", None, 100) == [t for t in ordered if t[0] == "a"]
    assert await store.transact(listed, "a/", None, 100) == ["a/b"]
    assert await store.transact(listed, "a", "a b", 2) == ["a/b", "a" * 512]
    assert await store.transact(listed, "nobody", None, 100) == []
    # A position before the prefix does not let in what is before it.
    assert await store.transact(listed, "b", "a", 100) == ["b"]


async def test_tokens_are_compared_byte_by_byte(store: Store) -> None:
    """No normalisation, no folding of case, no cutting at NUL."""
    spellings = ["é", "e\u0301", "É", "e", "e\0", "e\0\0", " e", "e "]
    for run, token in enumerate(spellings, start=1):
        await take(store, run, token)
    for run, token in enumerate(spellings, start=1):
        held = await store.transact(owner, token)
        assert held is not None
        assert held.run_uid == run


async def test_a_storm_of_claims_has_one_winner(store: Store) -> None:
    results = await asyncio.gather(
        *[store.transact(claim, P, "t", claim_of(run)) for run in range(1, 101)]
    )
    winners = [run for run, holder in enumerate(results, start=1) if holder is None]
    assert len(winners) == 1
    assert {holder.run_uid for holder in results if holder is not None} == set(winners)


async def test_revisions_grow(opener: Opener) -> None:
    store = opener()
    given = [await store.transact(revision) for _ in range(3)]
    given += [(await take(store, run, f"t{run}")).revision for run in range(1, 4)]

    async def two(tx: Tx) -> tuple[int, int]:
        return tx.revision(), tx.revision()

    given += await store.transact(two)
    assert all(later > sooner for sooner, later in pairwise(given))


async def test_a_revision_is_not_given_again_after_an_exception(store: Store) -> None:
    seen = []

    async def broken(tx: Tx) -> None:
        seen.append(tx.revision())
        raise ValueError("no")

    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            await store.transact(broken)
    seen.append(await store.transact(revision))
    assert len(set(seen)) == 4
    assert seen == sorted(seen)
