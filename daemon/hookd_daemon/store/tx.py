"""What a transaction function sees of a store, whatever the engine.

A transaction function is ``async def fn(tx, …)``. The engine runs it, and
commits what it wrote atomically, or nothing of it when it raises. An engine
may run it again on contention: the function must have no effect but through
its ``tx``, and takes time, ids and randomness as arguments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from hookd_daemon.records.v1.records_pb2 import ClaimRecord

P = ParamSpec("P")
T = TypeVar("T")

#: What a waiter waits for; see ``hub``.
Topic = Hashable
#: Things that a commit did, for the counters: how often each.
Tally = dict[str, int]


class Tx(ABC):
    """One go at reading and changing the store, all or nothing."""

    __slots__ = ()

    @abstractmethod
    async def get(self, key: bytes) -> bytes | None:
        """Reads a value, also one this function has put; None when there is none."""

    @abstractmethod
    async def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Reads at most ``limit`` pairs with ``start <= key < end``, in the order of the keys."""

    @abstractmethod
    def put(self, key: bytes, value: bytes) -> None:
        """Writes a value."""

    @abstractmethod
    def delete(self, key: bytes) -> None:
        """Removes a key, if it is there."""

    @abstractmethod
    def add(self, key: bytes, change: int) -> None:
        """Adds to the number that a key holds.

        A key that is not there holds 0, and one that comes to hold 0 is removed.
        Nothing is read: two functions that add to one number do not contend.
        """

    @abstractmethod
    async def number(self, key: bytes) -> int:
        """Reads a number that ``add`` keeps, what this function has added included."""

    @abstractmethod
    def revision(self) -> int:
        """Gives a number, greater than any that this store has given before."""

    @abstractmethod
    async def claim(
        self, project: str, token: str, run_uid: int, revision: int, record: bytes
    ) -> ClaimRecord | None:
        """Binds a token to a run, if it is free.

        Args:
            project: the project.
            token: the token.
            run_uid: the run.
            revision: from ``revision``, for this claim alone.
            record: a ``ClaimRecord`` that says the same and more.

        Returns:
            None when the token is now the run's, else the claim that holds it.
        """

    @abstractmethod
    async def owner(self, project: str, token: str) -> ClaimRecord | None:
        """The claim that holds a token; None when it is free."""

    @abstractmethod
    def amend(self, project: str, token: str, claim: ClaimRecord) -> None:
        """Writes a claim anew that holds its token already; its revision stays."""

    @abstractmethod
    def release(self, project: str, token: str, claim: ClaimRecord) -> None:
        """Frees the token that this claim holds."""

    @abstractmethod
    async def claims_of(self, project: str, run_uid: int) -> list[tuple[str, ClaimRecord]]:
        """The tokens that a run holds, in the order of their revisions."""

    @abstractmethod
    async def count_claims(self, project: str) -> int:
        """How many tokens of a project are taken, by claims of this function, too."""

    @abstractmethod
    async def scan_claims(
        self, project: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, ClaimRecord]]:
        """At most ``limit`` taken tokens, byte by byte in order.

        Args:
            project: whose tokens.
            prefix: only tokens that begin so.
            after: only tokens after this one.
            limit: how many at most.
        """

    @abstractmethod
    def notify(self, topic: Topic) -> None:
        """Wakes who waits for a topic, once this is committed."""

    @abstractmethod
    def tally(self, what: str, times: int = 1) -> None:
        """Counts something that happened, once this is committed."""


class Subscription(Protocol):
    """Tells of commits that named one of some topics, from its beginning on."""

    async def wait(self, timeout: float | None) -> bool:
        """Waits for the next such commit, or a nudge.

        Args:
            timeout: seconds; None for no limit.

        Returns:
            True when there was one since the last ``wait``, False when time ran out.

        Raises:
            StoreUnavailableError: the store is closing.
        """

    def nudge(self) -> None:
        """Ends the wait, or the next one if nobody waits, as a commit would."""

    def named(self) -> list[Topic]:
        """The topics that commits have named since this was asked, each once."""

    def listen(self, topic: Topic) -> None:
        """Listens to one more topic from now on."""

    def ignore(self, topic: Topic) -> None:
        """Listens to a topic no more."""

    def __enter__(self) -> Subscription: ...

    def __exit__(self, *exc: object) -> None: ...


class Store(ABC):
    """An engine: runs transaction functions and makes them durable."""

    @abstractmethod
    async def transact(
        self, fn: Callable[Concatenate[Tx, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs a function and answers when all it wrote, and all it read, is on disk.

        An exception of the function undoes it; a ``HookdError`` too is let out
        only when what it rests on is on disk.

        Raises:
            StoreUnavailableError: the store cannot be written or is closed.
        """

    @abstractmethod
    def subscribe(self, *topics: Topic) -> Subscription:
        """Begins to listen; use it as a context manager, and read after it has begun."""
