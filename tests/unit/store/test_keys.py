"""The keys of claims: order, and where a range of them ends."""

from __future__ import annotations

import itertools

import pytest
from hookd_daemon.store import keys


@pytest.mark.parametrize("prefix", [b"T", b"Ta\0", b"a\xfe", b"a\xff", b"a\xff\xff", b"T\0"])
def test_the_end_of_a_prefix_is_the_least_that_is_greater(prefix: bytes) -> None:
    end = keys.end_of(prefix)
    inside = [prefix + bytes(more) for n in range(3) for more in itertools.product(EDGES, repeat=n)]
    assert all(prefix <= key < end for key in inside)
    assert not end.startswith(prefix)
    # Nothing is between: every key below the end has the prefix, or is before it.
    assert end[:-1] + bytes([end[-1] - 1]) == prefix.rstrip(b"\xff")


EDGES = (0, 1, 127, 254, 255)


@pytest.mark.parametrize("token", ["t", "\0", "a\0b", "🎣", "é", "a" * 4096])
@pytest.mark.parametrize("project", ["p", "default", "a-b.c_d"])
def test_a_claim_key_is_taken_apart_again(project: str, token: str) -> None:
    assert keys.split_claim(keys.claim(project, token)) == (project, token.encode())


def test_keys_sort_by_project_and_then_by_the_bytes_of_the_token() -> None:
    projects = sorted(["a", "a-b", "a.b", "ab", "b"], key=lambda p: p.encode() + b"\0")
    tokens = sorted(["\0", "a", "a\0", "aa", "z", "é", "日", "🎣"], key=str.encode)
    made = [keys.claim(project, token) for project in projects for token in tokens]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
