"""The records that Rust writes are those that the generated code reads."""

from __future__ import annotations

import pytest
from hookd.v1.events_pb2 import Event, HookCreated
from hookd_daemon._native import encode_plain_claim
from hookd_daemon.records.v1.records_pb2 import ClaimRecord, HookRecord
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.integers(min_value=1, max_value=2**64 - 1)
TIMES = st.integers(min_value=1, max_value=253_402_300_799_999)
TEXTS = st.text(min_size=1, max_size=200)


@given(NUMBERS, TEXTS, TEXTS, TEXTS, st.booleans(), NUMBERS, NUMBERS, TIMES)
def test_a_plain_claim_reads_as_what_it_was_written_from(
    uid: int,
    run_id: str,
    hook_id: str,
    token: str,
    generated: bool,
    revision: int,
    seq: int,
    now_ms: int,
) -> None:
    event, hook, claim = encode_plain_claim(
        uid, run_id, hook_id, token, generated, revision, seq, now_ms
    )

    created = HookCreated(token=token, revision=revision)
    wanted = Event(seq=seq, correlation_id=hook_id, hook_created=created)
    wanted.time.FromMilliseconds(now_ms)
    assert Event.FromString(event) == wanted
    assert HookRecord.FromString(hook) == HookRecord(
        token=token,
        revision=revision,
        created_seq=seq,
        created_ms=now_ms,
        generated=generated,
    )
    assert ClaimRecord.FromString(claim) == ClaimRecord(
        run_uid=uid,
        run_id=run_id,
        hook_id=hook_id,
        revision=revision,
        claimed_ms=now_ms,
    )


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode_plain_claim(1, "run", "hook", "\ud800", False, 1, 1, 1)


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(OverflowError):
        encode_plain_claim(-1, "run", "hook", "token", False, 1, 1, 1)
