"""``hookd`` with faults: a program that tests start in its place.

The daemon is the real one. Some of its functions are wrapped before it runs, so
that named points are known, and something can be done at the n-th passage of
one: end the process there, fail, or be slow. What is done is read from a file
when the process starts, and again at SIGUSR1.

The environment:

- ``HOOKD_FAULT``: the file, JSON of the fields of ``Fault``; none while it is missing.
- ``HOOKD_SYNCED``: a file in which the process notes how much of each log of
  RocksDB has been synced, JSON of bytes by name: what a loss of power leaves.
- ``HOOKD_WALL``: a file that says by how many seconds the wall clock is ahead, at any time;
  negative for behind.
- ``HOOKD_CONSTANTS``: JSON of values by "module:NAME", set before the daemon runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rocksdict

#: Points that a commit passes, in order; those of plain claims apart.
COMMIT = ("write.before", "write.after", "flush.before", "flush.after", "answer.before")
PLAIN = ("plain.before", "plain.decided", "plain.after", "plain.answer")
RELEASE = ("release.before", "release.after", "release.written")
RECOVERY = ("open.before", "open.after", "recover.before", "recover.after", "revisions.after")
RETENTION = ("remove.after", "garbage.before", "garbage.after", "fire.after")


@dataclass
class Fault:
    """What is to happen.

    Attributes:
        point: where.
        passages: at which passage of the point, from 1.
        do: ``crash``, ``fail`` (an error of the disk, this time and always
            after), or ``slow`` (this time and always after).
        seconds: how slow; for ``fail`` how slow every passage is; for ``crash``
            how long after the point, by a timer that also strikes inside of RocksDB.
    """

    point: str = ""
    passages: int = 1
    do: str = "crash"
    seconds: float = 0


class Fuse:
    """Does what a file says."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._fault = Fault()
        self.load()

    def load(self, *_signal: object) -> None:
        """Reads the file."""
        if self._file.exists():
            self._fault = Fault(**json.loads(self._file.read_text()))

    def reach(self, point: str) -> None:
        """Notes that a point is passed."""
        fault = self._fault
        if fault.point != point:
            return
        fault.passages -= 1
        if fault.do == "fail":
            time.sleep(fault.seconds)
        if fault.passages > 0:
            return
        if fault.do == "slow":
            time.sleep(fault.seconds)
        elif fault.do == "fail":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        elif fault.passages == 0 and fault.seconds:
            # Not handled, so that the kernel ends the process, wherever it is.
            signal.setitimer(signal.ITIMER_REAL, fault.seconds)
        elif fault.passages == 0:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()


class NotingDatabase:
    """A ``Rdict`` that notes what was synced, before who waits for the sync is told."""

    def __init__(self, real: rocksdict.Rdict, path: Path, notes: Path, fuse: Fuse) -> None:
        self.real = real
        self.releasing = False
        self._path = path
        self._notes = notes
        self._fuse = fuse
        # Bound here: these are called for every request.
        self.get, self.items = real.get, real.items

    def write(self, *args: Any) -> None:
        """Writes a batch; a commit should be one."""
        self.real.write(*args)
        if self.releasing:
            self._fuse.reach("release.batch")

    def flush_wal(self, sync: bool) -> None:
        """Syncs; what was written before is on disk then."""
        sizes = log_sizes(self._path)
        self.real.flush_wal(sync)
        if sync:
            note(self._notes, sizes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def log_sizes(path: Path) -> dict[str, int]:
    """The bytes of each log of a database."""
    sizes = {}
    for log in path.glob("*.log"):
        # One whose tables are written is removed at any time.
        with contextlib.suppress(FileNotFoundError):
            sizes[log.name] = log.stat().st_size
    return sizes


def note(notes: Path, sizes: dict[str, int]) -> None:
    """Replaces the notes; a reader sees the old or the new ones."""
    fresh = notes.with_suffix(".new")
    fresh.write_text(json.dumps(sizes))
    fresh.rename(notes)


def around(owner: Any, name: str, point: str, fuse: Fuse) -> None:
    """Makes points of the beginning and the end of a function."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        fuse.reach(f"{point}.before")
        result = original(*args, **kwargs)
        fuse.reach(f"{point}.after")
        return result

    setattr(owner, name, wrapped)


def around_async(original: Callable[..., Any], point: str, fuse: Fuse) -> Callable[..., Any]:
    """The same for a function that is awaited."""

    @functools.wraps(original)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        fuse.reach(f"{point}.before")
        result = await original(*args, **kwargs)
        fuse.reach(f"{point}.after")
        return result

    return wrapped


def wrap_rocksdb(fuse: Fuse, notes: Path) -> None:
    """Puts the points of RocksDB in; before any module of the daemon has imported it."""
    open_real, checkpoint_real = rocksdict.Rdict, rocksdict.Checkpoint

    def open_database(path: str, *args: Any) -> NotingDatabase:
        # What is there now has survived whatever came before.
        note(notes, log_sizes(Path(path)))
        fuse.reach("open.before")
        real = open_real(path, *args)
        fuse.reach("open.after")
        return NotingDatabase(real, Path(path), notes, fuse)

    class Checkpoint:
        def __init__(self, db: NotingDatabase) -> None:
            self._real = checkpoint_real(db.real)

        def create_checkpoint(self, path: str) -> None:
            fuse.reach("checkpoint.before")
            self._real.create_checkpoint(path)
            fuse.reach("checkpoint.after")

    rocksdict.Rdict, rocksdict.Checkpoint = open_database, Checkpoint  # type: ignore[misc,assignment]


def wrap_store(fuse: Fuse) -> None:
    """Puts the points of the store in."""
    from hookd_daemon import _native
    from hookd_daemon.store import keys
    from hookd_daemon.store.rocks import flusher, plain, store, tx

    around(store.RocksStore, "_write", "write", fuse)
    around(store.RocksStore, "_flush", "flush", fuse)
    around(store.RocksStore, "compact", "compact", fuse)
    around(store, "recover_claims", "recover", fuse)
    around(store, "recover_revisions", "revisions", fuse)
    around(flusher.Flusher, "_done", "answer", fuse)
    around(plain.PlainClaims, "_make", "plain", fuse)
    around(tx.RocksTx, "release", "release", fuse)

    write = store.RocksStore._write

    def write_releases(self: store.RocksStore, done: tx.RocksTx) -> None:
        releases = any(v is None and k.startswith(keys.CLAIMS) for k, v in done.writes.items())
        self.db.releasing = releases  # type: ignore[attr-defined]
        write(self, done)
        self.db.releasing = False  # type: ignore[attr-defined]
        if releases:
            fuse.reach("release.written")

    store.RocksStore._write = write_releases  # type: ignore[method-assign]

    answer = plain._Answering.__call__

    def answer_claims(self: plain._Answering, failure: Exception | None) -> None:
        fuse.reach("plain.answer")
        answer(self, failure)

    plain._Answering.__call__ = answer_claims  # type: ignore[method-assign]

    class PlainClaims:
        """The claims are decided, and the index has them; nothing is written yet."""

        def __init__(self, *args: Any, real: Any = _native.PlainClaims) -> None:
            self._real = real(*args)

        def claim(self, *args: Any) -> Any:
            done = self._real.claim(*args)
            fuse.reach("plain.decided")
            return done

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    _native.PlainClaims = PlainClaims  # type: ignore[misc,assignment]


def wrap_sweeper(fuse: Fuse) -> None:
    """Puts the points of retention in."""
    from hookd_daemon import sweeper
    from hookd_daemon.core import firing
    from hookd_daemon.records.v1.records_pb2 import TIMER_KIND_RETENTION

    actions = firing._ACTIONS
    actions[TIMER_KIND_RETENTION] = around_async(actions[TIMER_KIND_RETENTION], "remove", fuse)
    sweeper.collect_garbage = around_async(sweeper.collect_garbage, "garbage", fuse)  # type: ignore[attr-defined]
    sweeper.Sweeper._fire = around_async(sweeper.Sweeper._fire, "fire", fuse)  # type: ignore[method-assign]


def wrap_wall_clock(ahead: Path) -> None:
    """Has the process read a wall clock that somebody sets."""
    real_ns = time.time_ns

    def ahead_ns() -> int:
        return round(float(ahead.read_text()) * 1e9)

    time.time_ns = lambda: real_ns() + ahead_ns()
    time.time = lambda: time.time_ns() / 1e9


def obey_permissions() -> None:
    """Gives up what lets root read and write everything, in this thread and its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    # struct __user_cap_header_struct and __user_cap_data_struct[2] of capget(2).
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    if libc.capget(header, data) == 0:
        for which in range(3):  # effective, permitted, inheritable
            data[which] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.capset(header, data)


def main(*, obeys_permissions: bool = False) -> int:
    """Runs ``hookd``."""
    if obeys_permissions:
        obey_permissions()
    fuse = Fuse(Path(os.environ["HOOKD_FAULT"]))
    signal.signal(signal.SIGUSR1, fuse.load)
    # Before the daemon's clock is made, which takes it as a default.
    wrap_wall_clock(Path(os.environ["HOOKD_WALL"]))
    wrap_rocksdb(fuse, Path(os.environ["HOOKD_SYNCED"]))
    wrap_store(fuse)
    wrap_sweeper(fuse)
    for place, value in json.loads(os.environ.get("HOOKD_CONSTANTS", "{}")).items():
        module, name = place.split(":")
        setattr(importlib.import_module(module), name, value)
    from hookd_daemon.cli import main as hookd

    return hookd()


if __name__ == "__main__":
    sys.exit(main())
