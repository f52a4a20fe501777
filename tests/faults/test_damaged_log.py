"""A write-ahead log that is cut, or has wrong bits: nothing acknowledged is missing in silence."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from hookd_daemon.store.rocks import RocksStore
from hookd_daemon.store.rocks.directory import DataDirectoryError
from hookd_daemon.store.rocks.wal import check_logs
from hookd_daemon.store.tx import Tx

from tests.conformance.conftest import claim, claim_of
from tests.support.effort import effort, seed

COMMITS = 12


async def take(tx: Tx, number: int, extra: int = 0) -> None:
    assert await claim(tx, "p", f"token-{number}", claim_of(number + 1)) is None
    tx.put(b"Rx%d" % number, b"x" * extra)


async def is_taken(tx: Tx, number: int) -> bool:
    return await tx.owner("p", f"token-{number}") is not None


class Damaged:
    """Copies of a data directory as a crash has left it, each to be damaged.

    Attributes:
        log: the write-ahead log.
        ends: where in it each commit ends.
    """

    def __init__(self, folder: Path) -> None:
        self._source = folder / "source"
        self._copy = folder / "copy"
        self.ends: list[int] = []

    async def fill(self, extra: int = 0) -> None:
        """Makes some commits, each acknowledged, and takes the copy without a close."""
        store = RocksStore(self._source)
        for number in range(COMMITS):
            await store.transact(take, number, extra)
            self.ends.append(self.newest(self._source).stat().st_size)
        shutil.copytree(self._source, self._source.with_name("crashed"))
        store.close()
        self._source = self._source.with_name("crashed")
        self.log = self.newest(self._source).read_bytes()

    @staticmethod
    def newest(data: Path) -> Path:
        """The log that is written to."""
        return max((data / "db").glob("*.log"), key=lambda log: int(log.stem))

    async def opened(self, log: bytes, newer: bytes | None = None) -> list[bool] | str:
        """Opens it with another log: which claims are there, or why it was refused.

        Args:
            log: the bytes of its log.
            newer: of one more log, behind that one.
        """
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._source, self._copy)
        self.newest(self._copy).write_bytes(log)
        if newer is not None:
            (self._copy / "db" / "000099.log").write_bytes(newer)
        try:
            store = RocksStore(self._copy)
        except DataDirectoryError as error:
            return str(error)
        found = [await store.transact(is_taken, number) for number in range(COMMITS)]
        store.close()
        return found


@pytest.fixture
async def damaged(tmp_path: Path) -> Damaged:
    damaged = Damaged(tmp_path)
    await damaged.fill()
    assert await damaged.opened(damaged.log) == [True] * COMMITS
    return damaged


async def test_cut_at_every_byte_of_the_last_record(damaged: Damaged) -> None:
    """A record that was not written to its end was not acknowledged; all others are there."""
    before, end = damaged.ends[-2:]
    for at in range(before, end):
        assert await damaged.opened(damaged.log[:at]) == [True] * (COMMITS - 1) + [False], at


async def test_remains_of_a_record_behind_the_last_one(damaged: Damaged) -> None:
    """Zeros, or a record that was begun."""
    for rest in (bytes(1), bytes(7), bytes(5000), b"\x07\x01\x02\x03\xff\x01\x01begun"):
        assert await damaged.opened(damaged.log + rest) == [True] * COMMITS


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_flipped_bits(damaged: Damaged) -> None:
    """Wherever a bit is wrong, all is there, or the directory is refused, with the reason."""
    dice = random.Random(seed())
    # Each byte of the heads of three records, of which one is the last, and any others.
    heads = [at for end in (0, damaged.ends[4], damaged.ends[-2]) for at in range(end, end + 19)]
    anywhere = [dice.randrange(len(damaged.log)) for _ in range(effort(60))]
    for at in heads + anywhere:
        bit = 1 << dice.randrange(8)
        log = bytearray(damaged.log)
        log[at] ^= bit
        found = await damaged.opened(bytes(log))
        where = f"bit {bit:#x} of byte {at}, records end at {damaged.ends}: {found}"
        assert isinstance(found, str), where
        assert "restore a backup" in found, where


@pytest.mark.parametrize("of", [0, -2], ids=["the first record", "the last record"])
async def test_the_kind_of_a_record_is_another(damaged: Damaged, of: int) -> None:
    """RocksDB looks for the end of some kinds, of which none is ours, for ever."""
    at = 6 + (damaged.ends[of] if of else 0)
    for bit in range(8):
        log = bytearray(damaged.log)
        log[at] ^= 1 << bit
        found = await damaged.opened(bytes(log))
        assert isinstance(found, str), (bit, found)
        assert "restore a backup" in found, bit


async def test_the_number_of_a_change_is_too_great(damaged: Damaged) -> None:
    """Nothing follows that would contradict it but a record that is cut short."""
    log = bytearray(damaged.log[: damaged.ends[0] + 3])
    log[7:15] = b"\xff" * 8  # behind the checksum, the length and the kind
    found = await damaged.opened(bytes(log))
    assert isinstance(found, str)
    assert "restore a backup" in found


@pytest.mark.torture
async def test_parts_that_read_as_zeros(damaged: Damaged) -> None:
    """A part in the middle is missing; that records follow shows that it was there."""
    dice = random.Random(seed())
    for _ in range(effort(20)):
        begin = dice.randrange(damaged.ends[-2])
        end = dice.randint(begin + 1, damaged.ends[-2])
        if not any(damaged.log[begin:end]):
            continue
        log = damaged.log[:begin] + bytes(end - begin) + damaged.log[end:]
        found = await damaged.opened(log)
        assert isinstance(found, str), (begin, end, damaged.ends, found)


async def test_records_that_span_blocks(tmp_path: Path) -> None:
    """The log is written in blocks of 32 KiB; a record of 50 kB lies in two or three."""
    damaged = Damaged(tmp_path)
    await damaged.fill(extra=50_000)
    assert await damaged.opened(damaged.log) == [True] * COMMITS
    dice = random.Random(seed())
    for _ in range(20):
        at = dice.randrange(damaged.ends[-2], damaged.ends[-1])
        assert await damaged.opened(damaged.log[:at]) == [True] * (COMMITS - 1) + [False], at
        log = bytearray(damaged.log)
        log[dice.randrange(damaged.ends[-2])] ^= 1 << dice.randrange(8)
        assert isinstance(await damaged.opened(bytes(log)), str)
    for block in range(1, len(damaged.log) // 32768):
        log = bytearray(damaged.log)
        log[block * 32768 : block * 32768 + 4096] = bytes(4096)
        found = await damaged.opened(bytes(log))
        assert isinstance(found, str), (block, found)


async def test_an_older_log_that_is_cut(damaged: Damaged) -> None:
    """RocksDB would leave out what is missing, and go on with the newer log."""
    split = damaged.ends[6]
    newer = damaged.log[split:]
    assert await damaged.opened(damaged.log[:split], newer) == [True] * COMMITS
    for at in range(damaged.ends[5] + 1, split):
        found = await damaged.opened(damaged.log[:at], newer)
        assert isinstance(found, str), at
        assert "000099.log goes on" in found
    # A newer one in which nothing is yet: what was cut was the end of all.
    assert await damaged.opened(damaged.log[: split - 1], b"") == [True] * 6 + [False] * 6


async def test_many_lives_of_a_directory_look_whole(tmp_path: Path) -> None:
    """The look over the logs finds nothing in what clean ends and crashes leave."""
    number = 0
    for life in range(6):
        store = RocksStore(tmp_path / "data")
        for _ in range(20):
            await store.transact(take, number, 300 * number)
            number += 1
        crashed = tmp_path / f"crashed-{life}"
        shutil.copytree(tmp_path / "data", crashed)
        await store.compact()
        await store.transact(take, number)
        number += 1
        store.close()
        check_logs(tmp_path / "data" / "db")
        again = RocksStore(crashed)
        assert again.recovered_tokens == number - 1
        again.close()
        shutil.rmtree(tmp_path / "data")
        crashed.rename(tmp_path / "data")
        number -= 1
