"""The services of a shop: stock, payments, parcels. They are what the world is like.

Each of them fails now and then, and none of them does the same thing twice for
one order, however often it is asked. What they did, and how often they were
asked, is in the SQLite file that ORDER_SAGA_DB names. ORDER_SAGA_FLAKINESS is
how probable a failure is, ORDER_SAGA_SEED which calls fail; the third call for
the same thing never does.
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

_TABLES = """
CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY, order_number TEXT, what TEXT, failed INTEGER
);
CREATE TABLE IF NOT EXISTS done (
    order_number TEXT, what TEXT, receipt TEXT, undone INTEGER DEFAULT 0,
    PRIMARY KEY (order_number, what)
);
"""
_CALLS_THAT_MAY_FAIL = 2


class ServiceDownError(Exception):
    """The service does not answer; asking again may help."""


def do(what: str, order_number: str) -> str:
    """Does something for an order; gives the receipt, the same one each time."""
    with _call(what, order_number) as database:
        database.execute(
            "INSERT OR IGNORE INTO done (order_number, what, receipt) VALUES (?, ?, ?)",
            (order_number, what, f"{what}-{order_number}"),
        )
        row = database.execute(
            "SELECT receipt FROM done WHERE order_number = ? AND what = ?", (order_number, what)
        )
        return str(row.fetchone()[0])


def undo(what: str, order_number: str) -> bool:
    """Takes something back, if it was done; tells whether it was."""
    with _call(f"undo {what}", order_number) as database:
        rows = database.execute(
            "UPDATE done SET undone = 1 WHERE order_number = ? AND what = ?", (order_number, what)
        )
        return rows.rowcount > 0


def books() -> list[tuple[str, str, bool]]:
    """Gives all that was done: for which order, what, and whether it was taken back."""
    with closing(_database()) as database:
        rows = database.execute(
            "SELECT order_number, what, undone FROM done ORDER BY order_number, rowid"
        )
        return [(number, what, bool(undone)) for number, what, undone in rows]


def calls() -> list[tuple[str, str, bool]]:
    """Gives all calls: for which order, what for, and whether they failed."""
    with closing(_database()) as database:
        rows = database.execute("SELECT order_number, what, failed FROM calls ORDER BY number")
        return [(number, what, bool(failed)) for number, what, failed in rows]


def _database() -> sqlite3.Connection:
    database = sqlite3.connect(os.environ["ORDER_SAGA_DB"], timeout=30, isolation_level=None)
    database.executescript(_TABLES)
    return database


@contextmanager
def _call(what: str, order_number: str) -> Iterator[sqlite3.Connection]:
    """Notes a call, and has it fail or go on; all of it is one transaction."""
    with closing(_database()) as database:
        database.execute("BEGIN IMMEDIATE")
        before = database.execute(
            "SELECT count(*) FROM calls WHERE order_number = ? AND what = ?", (order_number, what)
        )
        fails = _fails(what, order_number, before.fetchone()[0] + 1)
        database.execute(
            "INSERT INTO calls (order_number, what, failed) VALUES (?, ?, ?)",
            (order_number, what, fails),
        )
        if not fails:
            yield database
        database.execute("COMMIT")
    if fails:
        raise ServiceDownError(f"no answer from the service for: {what}")


def _fails(what: str, order_number: str, call: int) -> bool:
    if call > _CALLS_THAT_MAY_FAIL:
        return False
    seed = os.environ.get("ORDER_SAGA_SEED", "1")
    chance = random.Random(f"{seed}/{order_number}/{what}/{call}")  # noqa: S311 - no secret
    return chance.random() < float(os.environ.get("ORDER_SAGA_FLAKINESS", "0.3"))
