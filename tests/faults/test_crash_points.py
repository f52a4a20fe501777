"""The daemon ends at named points of its work, under load, and its disk loses what was not synced.

A process that is killed leaves to the system what it has written, synced or not. So that is not
enough to tell a daemon that syncs from one that does not: here the logs are cut, too.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from hookd.v1.admin_service_pb2 import BackupRequest, CompactRequest, GetStatsRequest
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.stream_service_pb2 import WriteChunksRequest
from rocksdict import AccessType, Options, Rdict

from tests.crash.processes import Clients
from tests.faults.load import MixedLoad
from tests.support.api import Api, json_payload
from tests.support.concurrency import eventually
from tests.support.crashing import COMMIT, PLAIN, RECOVERY, RELEASE, RETENTION, Fault
from tests.support.daemon import DaemonFailedError
from tests.support.effort import effort, seed
from tests.support.faulty import FaultyDaemon
from tests.support.snapshot import Snapshot, all_runs, check_whole, snapshot

CLIENTS = 4


def some(dice: random.Random, points: Sequence[str], count: int) -> list[str]:
    """So many points in an order by the dice, each as often as the others, or once more."""
    whole, rest = divmod(count, len(points))
    chosen = [*points] * whole + dice.sample(points, rest)
    dice.shuffle(chosen)
    return chosen


@pytest.mark.long
@pytest.mark.torture
@pytest.mark.timeout(300)
def test_crash_at_each_point_of_a_commit(tmp_path: Path) -> None:
    """What was acknowledged is there, nothing is half there, and retries get the first answer."""
    dice = random.Random(seed())
    points = some(dice, [*COMMIT, *PLAIN, *RELEASE], effort(12))
    with FaultyDaemon(tmp_path) as daemon, MixedLoad(daemon, CLIENTS, seed()) as load:
        for number, point in enumerate(points):
            load.begin(f"round-{number}")
            load.answered(dice.randint(1, 40))
            # Releases are rarer than commits.
            most = 8 if point.startswith("release") else 60
            fault = Fault(point, passages=dice.randint(1, most))
            daemon.arm(fault)
            load.until_lost()
            assert daemon.wait() == -signal.SIGKILL, daemon.log
            told = daemon.lose_power(dice)
            daemon.start()
            try:
                load.check(f"round-{number}")
            except AssertionError as error:
                error.add_note(f"after round {number}, {fault}; {told}")
                raise
        load.check_old()


@pytest.mark.torture
def test_crash_after_the_first_batch_of_a_release(tmp_path: Path) -> None:
    """What ends a run or a hook, and the release of its tokens, are one batch and no more."""
    with FaultyDaemon(tmp_path) as daemon, MixedLoad(daemon, CLIENTS, seed()) as load:
        for number in range(effort(1)):
            load.begin(f"round-{number}")
            load.answered(20)
            daemon.arm(Fault("release.batch"))
            load.until_lost()
            assert daemon.wait() == -signal.SIGKILL, daemon.log
            # No loss of power: what was written by half is to be seen.
            daemon.start()
            load.check(f"round-{number}")


@pytest.mark.torture
@pytest.mark.timeout(300)
def test_crash_at_each_point_of_a_start(tmp_path: Path) -> None:
    """A start that is interrupted, at a point or anywhere within RocksDB, harms nothing."""
    dice = random.Random(seed())
    with FaultyDaemon(tmp_path) as daemon, MixedLoad(daemon, CLIENTS, seed()) as load:
        for number in range(effort(1)):
            load.begin(f"round-{number}")
            load.answered(dice.randint(100, 200))
            daemon.arm(Fault("flush.after", passages=dice.randint(1, 20)))
            load.until_lost()
            assert daemon.wait() == -signal.SIGKILL
            told = daemon.lose_power(dice)
            faults = [Fault(point) for point in some(dice, RECOVERY, 3)]
            faults.append(Fault("open.before", seconds=dice.uniform(0.0005, 0.02)))
            dice.shuffle(faults)
            for fault in faults:
                interrupted_start(daemon, fault)
                daemon.lose_power(dice)
            daemon.start()
            try:
                load.check(f"round-{number}")
            except AssertionError as error:
                error.add_note(f"after round {number}, {faults}; {told}")
                raise
        load.check_old()


def interrupted_start(daemon: FaultyDaemon, fault: Fault) -> None:
    """Starts a daemon that dies before it serves; or that was quicker than its fault."""
    try:
        daemon.start(fault)
    except DaemonFailedError as failed:
        assert failed.status in (-signal.SIGKILL, -signal.SIGALRM), failed  # noqa: PT017
    else:
        assert fault.seconds, "a point of the start was not passed"
        daemon.kill()


@pytest.mark.torture
def test_crash_in_batches_of_claims(tmp_path: Path) -> None:
    """Claims in batches, which the native code makes: one owner each, and every loser names it."""
    dice = random.Random(seed())
    tokens, clients = 200, 4
    with FaultyDaemon(tmp_path) as daemon:
        for number in range(effort(1)):
            project = f"storm-{number}"
            points = [
                (dice.randint(0, clients * tokens // 2), point) for point in some(dice, PLAIN, 2)
            ]
            points.sort(reverse=True)
            arguments = [
                [daemon.address, project, f"run-{i}", str(tokens), f"{seed()}-{i}"]
                for i in range(clients)
            ]
            answers: dict[str, set[tuple[str, str, int]]] = {}
            answered = ready = 0
            with Clients("claimer.py", arguments) as claimers:
                while not claimers.all_ended:
                    _, said = claimers.next()
                    if said is None:
                        continue
                    if "ready" in said:
                        ready += 1
                        if ready == clients:
                            claimers.tell(go=True)
                    elif "token" in said:
                        answered += 1
                        owner = (said["owner"], said["hook"], said["revision"])
                        answers.setdefault(said["token"], set()).add(owner)
                    if points and answered >= points[-1][0] and ready == clients:
                        daemon.arm(Fault(points.pop()[1], passages=dice.randint(1, 3)))
                        assert daemon.wait() == -signal.SIGKILL
                        daemon.lose_power(dice)
                        daemon.start()
                assert claimers.results() == [0] * clients
            assert answered == clients * tokens
            assert not points
            api = Api(daemon.channel(), project)
            found = snapshot(api)
            check_whole(api, found)
            held = {t: {(h.run_id, h.hook_id, h.revision)} for t, h in found.tokens.items()}
            assert answers == held


@pytest.mark.torture
@pytest.mark.parametrize("during", ["compact", "backup"])
def test_crash_during_maintenance(tmp_path: Path, during: str) -> None:
    """A compaction or a backup that is interrupted takes nothing with it."""
    dice = random.Random(seed())
    point = "compact" if during == "compact" else "checkpoint"
    backups = tmp_path / "backups"
    with (
        FaultyDaemon(tmp_path, f"--backup-dir={backups}") as daemon,
        MixedLoad(daemon, CLIENTS, seed()) as load,
    ):
        for number in range(effort(1)):
            load.begin(f"round-{number}")
            load.answered(dice.randint(50, 150))
            at = Fault(f"{point}.{dice.choice(['before', 'after'])}")
            within = Fault(f"{point}.before", seconds=dice.uniform(0.0005, 0.02))
            daemon.arm(dice.choice([at, within]))
            api = Api(daemon.channel())
            if during == "compact":
                called = api.admin.Compact.future(CompactRequest())
            else:
                called = api.admin.Backup.future(BackupRequest(name=f"copy-{number}"))
            load.until_lost()
            called.cancel()
            assert daemon.wait() in (-signal.SIGKILL, -signal.SIGALRM), daemon.log
            daemon.lose_power(dice)
            daemon.start()
            load.check(f"round-{number}")
            if during == "backup" and not (backups / f"copy-{number}").exists():
                # The name is free, and whatever lies around does not hinder.
                again = Api(daemon.channel()).admin.Backup(BackupRequest(name=f"copy-{number}"))
                assert again.bytes > 0
        load.check_old()


@pytest.mark.torture
def test_crash_during_retention(tmp_path: Path) -> None:
    """Whatever is interrupted, in the end nothing is left of runs that are removed."""
    dice = random.Random(seed())
    points = some(dice, RETENTION, effort(2))
    with FaultyDaemon(tmp_path, "--retention=0s") as daemon:
        for number, point in enumerate(points):
            api = Api(daemon.channel(), "p")
            for run in range(4):
                run_id = f"run-{number}-{run}"
                api.start(run_id, claims=[HookSpec(token=run_id)])
                for payload in range(dice.randint(0, 30)):
                    api.resume(run_id, str(payload))
                api.streams.WriteChunks(
                    WriteChunksRequest(
                        project="p",
                        run_id=run_id,
                        chunks=[json_payload("1")] * dice.randint(1, 300),
                    )
                )
                api.complete(run_id)
            daemon.arm(Fault(point, passages=dice.randint(1, 3)))
            assert daemon.wait() == -signal.SIGKILL, daemon.log
            daemon.lose_power(dice)
            daemon.start()
        api = Api(daemon.channel(), "p")
        eventually(lambda: not list(all_runs(api)))
        assert snapshot(api) == Snapshot()
        stats = api.admin.GetStats(GetStatsRequest(project="p"))
        assert (stats.active_tokens, stats.running_runs, stats.pending_runs) == (0, 0, 0)
        # The records go bit by bit, behind the run. So look at what is there at all.
        eventually(lambda: left_behind(daemon) == [], within=10, pause=0.1)
        assert daemon.terminate() == 0


def left_behind(daemon: FaultyDaemon) -> list[bytes]:
    """The keys in the database but for those of the engine itself."""
    secondary = daemon.folder / "look"
    options = Options(raw_mode=True)
    db = Rdict(
        str(daemon.data_dir / "db"),
        options,
        access_type=AccessType.secondary(str(secondary)),
    )
    try:
        return [key for key in db.keys() if not key.startswith(b"M")]  # noqa: SIM118 - no dict
    finally:
        db.close()
