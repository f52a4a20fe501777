"""Numbers that transactions add to, and the count of taken tokens, on both engines."""

from __future__ import annotations

import pytest
from hookd_daemon.store.tx import Tx

from tests.unit.limits.tenant import Tenant

KEY = b"Uproject\0what"


async def _add(tx: Tx, *changes: int) -> int:
    for change in changes:
        tx.add(KEY, change)
    return await tx.number(KEY)


async def _stored(tx: Tx) -> bytes | None:
    return await tx.get(KEY)


async def test_a_number_is_the_sum_of_what_was_added(tenant: Tenant) -> None:
    assert await tenant.store.transact(_add) == 0
    assert await tenant.store.transact(_add, 3, 4) == 7
    assert await tenant.store.transact(_add, -9) == -2
    assert await tenant.store.transact(_add, 1 << 40) == (1 << 40) - 2


async def test_a_number_that_is_0_takes_no_room(tenant: Tenant) -> None:
    await tenant.store.transact(_add, 5)
    assert await tenant.store.transact(_stored) is not None
    assert await tenant.store.transact(_add, -5) == 0
    assert await tenant.store.transact(_stored) is None


async def test_what_a_failed_function_added_is_not_there(tenant: Tenant) -> None:
    async def fail(tx: Tx) -> None:
        tx.add(KEY, 5)
        raise ZeroDivisionError

    await tenant.store.transact(_add, 1)
    with pytest.raises(ZeroDivisionError):
        await tenant.store.transact(fail)
    assert await tenant.store.transact(_add) == 1


async def test_taken_tokens_are_counted_with_those_of_the_function(tenant: Tenant) -> None:
    async def count(tx: Tx) -> tuple[int, int, int]:
        before = await tx.count_claims(tenant.project)
        claim = await tx.owner(tenant.project, "a")
        assert claim is not None
        tx.release(tenant.project, "a", claim)
        after = await tx.count_claims(tenant.project)
        return before, after, await tx.count_claims("other")

    await tenant.start("r", "a", "b")
    assert await tenant.store.transact(count) == (2, 1, 0)
    await tenant.claim("r", "c", "d")
    await tenant.complete("r")
    assert await tenant.store.transact(lambda tx: tx.count_claims(tenant.project)) == 0
