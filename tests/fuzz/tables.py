"""The tables of the store: what the keys of each are made of, and what ranges are read by."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from hookd_daemon.core import keys
from hookd_daemon.store import keys as store_keys

Maker = Callable[..., bytes]


class Part(Enum):
    """A kind of what keys are made of."""

    NUMBER = auto()
    TEXT = auto()
    TOKEN = auto()
    PROJECT = auto()
    STATUS = auto()
    QUEUE = auto()


def _by_status(status: Any, project: str, created: int, uid: int) -> bytes:
    return keys.runs_by_status(project, status) + keys.age(created, uid)


def _by_time(project: str, created: int, uid: int) -> bytes:
    return keys.runs_by_time(project) + keys.age(created, uid)


#: The whole key of each table, and what it is made of.
TABLES: dict[str, tuple[Maker, tuple[Part, ...]]] = {
    "run": (keys.run, (Part.PROJECT, Part.TEXT)),
    "by time": (_by_time, (Part.PROJECT, Part.NUMBER, Part.NUMBER)),
    "by status": (_by_status, (Part.STATUS, Part.PROJECT, Part.NUMBER, Part.NUMBER)),
    "event": (lambda uid, seq: keys.events(uid) + keys.number(seq), (Part.NUMBER, Part.NUMBER)),
    "hook": (lambda uid, hook_id: keys.hooks(uid) + hook_id.encode(), (Part.NUMBER, Part.TEXT)),
    "payload": (
        lambda uid, hook_id, seq: keys.payloads(uid, hook_id) + keys.number(seq),
        (Part.NUMBER, Part.TEXT, Part.NUMBER),
    ),
    "receipt": (keys.receipt, (Part.PROJECT, Part.TOKEN, Part.TEXT)),
    "stream": (keys.stream, (Part.NUMBER, Part.TEXT)),
    "chunk": (
        lambda uid, namespace, index: keys.chunks(uid, namespace) + keys.number(index),
        (Part.NUMBER, Part.TEXT, Part.NUMBER),
    ),
    "timer": (keys.timer, (Part.NUMBER, Part.NUMBER)),
    "queue": (
        lambda project, kind, name, at: keys.queue(project, kind, name) + keys.number(at),
        (Part.PROJECT, Part.QUEUE, Part.TEXT, Part.NUMBER),
    ),
    "step": (keys.step, (Part.NUMBER, Part.TEXT)),
    "run timer": (keys.run_timer, (Part.NUMBER, Part.TEXT)),
    "child": (keys.child, (Part.NUMBER, Part.TEXT)),
    "garbage": (keys.garbage, (Part.NUMBER,)),
    "claim": (store_keys.claim, (Part.PROJECT, Part.TOKEN)),
}
#: What ranges are read by: the beginning of keys, and which of their parts it names.
PREFIXES: dict[str, tuple[Maker, tuple[int, ...]]] = {
    "by time": (keys.runs_by_time, (0,)),
    "by status": (lambda status, project: keys.runs_by_status(project, status), (0, 1)),
    "event": (keys.events, (0,)),
    "hook": (keys.hooks, (0,)),
    "payload": (keys.payloads, (0, 1)),
    "stream": (keys.streams, (0,)),
    "chunk": (keys.chunks, (0, 1)),
    "queue": (keys.queue, (0, 1, 2)),
    "step": (keys.steps, (0,)),
    "run timer": (keys.run_timers, (0,)),
    "child": (keys.children, (0,)),
    "claim": (store_keys.claims_of_project, (0,)),
}


def check_two_keys(table: str, first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
    """Two things have two keys, and one thing has one."""
    make, _ = TABLES[table]
    assert (make(*first) == make(*second)) == (first == second), (table, first, second)


def check_range(table: str, mine: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    """The range of one run, hook, stream, queue or project has its keys, and no other's."""
    make, _ = TABLES[table]
    begin, named = PREFIXES[table]
    start = begin(*(mine[part] for part in named))
    end = store_keys.end_of(start)
    assert start <= make(*mine) < end, (table, mine)
    is_mine = all(mine[part] == other[part] for part in named)
    assert (start <= make(*other) < end) == is_mine, (table, mine, other)


def check_read(project: str, token: str, kind: Any, name: str, at: int) -> None:
    """What is written is read."""
    assert store_keys.split_claim(store_keys.claim(project, token)) == (project, token.encode())
    entry = keys.queue(project, kind, name) + keys.number(at)
    assert keys.split_queue_key(entry) == (project, kind, name, at)
