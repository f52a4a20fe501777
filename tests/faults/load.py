"""The clients of the crash tests under a daemon that ends by itself, or loses its power."""

from __future__ import annotations

from tests.crash.processes import Clients
from tests.crash.test_crash_mixed_load import (
    Op,
    check_acknowledged,
    check_once,
    collect,
)
from tests.support.api import Api
from tests.support.faulty import FaultyDaemon
from tests.support.snapshot import Snapshot, check_whole, snapshot

#: More answers than any fault is waited for.
MOST = 5_000


class MixedLoad:
    """Some mixers, and what they were told.

    Args:
        daemon: the daemon, which serves.
        clients: how many.
        seed: of the first.
    """

    def __init__(self, daemon: FaultyDaemon, clients: int, seed: int) -> None:
        self._daemon = daemon
        self._count = clients
        arguments = [[daemon.address, f"c{i}", str(seed + i)] for i in range(clients)]
        self._clients = Clients("mixer.py", arguments)
        self._projects: dict[str, Snapshot] = {}
        self.done: list[Op] = []

    def __enter__(self) -> MixedLoad:
        self._clients.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._clients.__exit__(None, None, None)

    def begin(self, project: str) -> None:
        """Has the clients work in a fresh project until the daemon is gone.

        Returns when each of them has got an answer: one that has not even
        connected when the daemon ends would wait for it, and not give up.
        """
        self.done = []
        self._clients.tell(project=project)
        at_work: set[int] = set()
        while len(at_work) < self._count:
            number, said = self._clients.next()
            assert said is not None, f"client {number} has ended"
            self.done.append(said["done"])
            at_work.add(number)

    def answered(self, count: int) -> None:
        """Waits until so many more calls were answered."""
        self.done += [said["done"] for said in collect(self._clients, count)]

    def until_lost(self) -> None:
        """Waits until no client gets answers any more."""
        lost = 0
        while lost < self._count:
            (said,) = collect(self._clients, 1)
            if "lost" in said:
                lost += 1
            else:
                self.done.append(said["done"])
                assert len(self.done) < MOST, "the daemon goes on although it should have ended"

    def check(self, project: str) -> None:
        """Holds the daemon, which serves again, against what the clients were told.

        The calls that got no answer are made again, and have one then.
        """
        api = Api(self._daemon.channel(), project)
        found = snapshot(api)
        check_whole(api, found)
        check_acknowledged(found, self.done)
        self._clients.tell(again=True)
        kept = [said["kept"] for said in collect(self._clients, self._count)]
        found = snapshot(api)
        check_whole(api, found)
        check_acknowledged(found, self.done + kept)
        check_once(found)
        self._projects[project] = found

    def check_old(self) -> None:
        """Makes sure that the projects of former rounds are as they were."""
        for project, before in self._projects.items():
            assert snapshot(Api(self._daemon.channel(), project)) == before, project
