"""A backup that is made under load is a moment of the original: nothing by half, nothing late."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hookd.v1.common_pb2 import HOOK_STATUS_CONFLICTED

from tests.crash.processes import Clients
from tests.crash.test_crash_mixed_load import check_acknowledged, check_once
from tests.e2e.backup.copies import backup, restored, unfinished
from tests.support.api import Api
from tests.support.daemon import Daemon
from tests.support.effort import effort, seed
from tests.support.snapshot import Snapshot, check_whole, snapshot

CLIENTS = 4
#: How many answers are awaited between backups.
PACE = 80
PROJECT = "load"


class Load:
    """Clients that do everything, and what they were told."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self.done: list[dict[str, object]] = []
        self.lost = 0

    def hear(self) -> None:
        """The next thing that one of them says."""
        number, said = self._clients.next()
        assert said is not None, f"client {number} has ended"
        if "done" in said:
            self.done.append(said["done"])
        else:
            self.lost += 1

    def hear_more(self, count: int) -> None:
        """So many more answers."""
        until = len(self.done) + count
        while len(self.done) < until:
            self.hear()

    def hear_until(self, thread: threading.Thread) -> None:
        """What is answered while something goes on."""
        while thread.is_alive():
            self.hear()


@pytest.mark.torture
def test_a_backup_under_load_is_a_moment_of_the_original(daemon: Daemon, tmp_path: Path) -> None:
    arguments = [[daemon.address, f"c{i}", str(seed() + i)] for i in range(CLIENTS)]
    made: list[tuple[int, int, Path]] = []
    with Clients("mixer.py", arguments) as clients:
        clients.tell(project=PROJECT)
        load = Load(clients)
        for number in range(effort(3)):
            load.hear_more(PACE)
            before, paths = len(load.done), []
            api = Api(daemon.channel())
            thread = threading.Thread(
                target=lambda n=number, api=api, paths=paths: paths.append(backup(api, f"b{n}"))
            )
            thread.start()
            load.hear_until(thread)
            thread.join()
            made.append((before, len(load.done), paths[0]))
        load.hear_more(PACE)
        daemon.kill()
        while load.lost < CLIENTS:
            load.hear()
    assert any(during > before for before, during, _ in made), "calls went on meanwhile"
    daemon.start()
    final = snapshot(Api(daemon.channel(), PROJECT))
    for number, (before, _, path) in enumerate(made):
        with restored(path, tmp_path / f"copy-{number}") as copy:
            api = Api(copy.channel(), PROJECT)
            found = snapshot(api)
            check_whole(api, found)
            check_acknowledged(found, load.done[:before])
            check_once(found)
            check_moment(found, final)
    assert unfinished(made[0][2].parent) == []


def check_moment(found: Snapshot, final: Snapshot) -> None:
    """What was restored is all that had happened up to some moment, and nothing else."""
    for run_id, log in found.logs.items():
        assert log == final.logs[run_id][: len(log)], run_id
    for stream, chunks in found.streams.items():
        assert chunks == final.streams[stream][: len(chunks)], stream
    # Events have the time of their commit: those before the last one are all there.
    last = max(e.time.ToNanoseconds() for log in found.logs.values() for e in log)
    for run_id, log in final.logs.items():
        due = sum(event.time.ToNanoseconds() < last for event in log)
        assert due <= len(found.logs.get(run_id, [])), f"{run_id} lacks what came before others"
    # And so are the claims, which are numbered in the order of their commits.
    revisions = claimed(found)
    assert revisions == {number for number in claimed(final) if number <= max(revisions)}
    assert claimed(final) > revisions, "the original went on"


def claimed(found: Snapshot) -> set[int]:
    """The revisions of all claims that were won."""
    hooks = found.hooks.values()
    return {hook.revision for hook in hooks if hook.status != HOOK_STATUS_CONFLICTED}
