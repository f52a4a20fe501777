"""Looks over the write-ahead log before RocksDB replays it.

RocksDB holds each record against its checksum and refuses a log with a wrong
one. But what ends too early is for it a write that a crash has cut short, and
it drops that without a word. For the last record this is right: it was never
acknowledged. Three kinds of damage look the same and are not: a length that
points beyond the end of the file, a part that reads as zeros, and a log that
ends in the middle of a record although a newer log goes on. What follows there
was acknowledged, and must not be lost in silence.

The log is a row of blocks of 32 KiB, and a record lies in one or in several of
them (the RocksDB wiki, "Write Ahead Log File Format"). Each piece of a record:
checksum (4 bytes), length (2), kind (1), content. The content of a whole record
begins with the number of its first change (8 bytes) and how many it has (4), so
the next record's number is known. All numbers are little-endian.
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 32 * 1024
_PIECE = struct.Struct("<IHB")
_CHANGES = struct.Struct("<QI")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
#: RocksDB packs the number of a change and a byte into 64 bits (db/dbformat.h).
_MOST_CHANGES = (1 << 56) - 1


class DamagedLogError(Exception):
    """Acknowledged records are damaged; the message says where."""


@dataclass(frozen=True, slots=True)
class _End:
    """How a log ends.

    Attributes:
        at: behind the last whole record, in bytes from the beginning.
        cut: where the record begins that is not whole; None if there is none.
        number: of the change that would come next; None if there was no record.
    """

    at: int
    cut: int | None
    number: int | None


def check_logs(database: Path) -> None:
    """Makes sure that nothing is missing from the logs but a last record that was cut short.

    Checksums are left to RocksDB, but for one: this must not take long.

    Args:
        database: the directory of RocksDB, which nobody has open.

    Raises:
        DamagedLogError: something is missing.
        OSError: a log cannot be read.
    """
    cut: tuple[Path, int] | None = None
    logs = [file for file in database.glob("*.log") if file.stem.isdecimal()]
    for log in sorted(logs, key=lambda file: int(file.stem)):
        with log.open("rb") as file:
            if not log.stat().st_size:
                continue
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                end = _follow(log, data)
                _check_rest(log, data, end)
        if cut is not None and end.number is not None:
            raise _damaged(*cut, f"it ends there in a record, and {log.name} goes on")
        cut = None if end.cut is None else (log, end.cut)


def _damaged(log: Path, at: int, what: str) -> DamagedLogError:
    return DamagedLogError(f"the log {log.name} is damaged at byte {at}: {what}")


def _follow(log: Path, data: mmap.mmap) -> _End:
    """Goes from record to record, to the end or to what is no record."""
    size = len(data)
    at = whole = 0
    number: int | None = None
    begin: int | None = None  # of a record that goes on in the next block
    while True:
        left = BLOCK_BYTES - at % BLOCK_BYTES
        if left < _PIECE.size:
            at += left  # too short for a piece: filled with zeros
            continue
        if at + _PIECE.size > size:
            return _End(whole, begin if begin is not None else at if at < size else None, number)
        _, length, kind = _PIECE.unpack_from(data, at)
        behind = at + _PIECE.size + length
        if kind > _LAST:
            # No write that was cut short looks so. RocksDB takes 5 to 8 for pieces of
            # a log that is used again, as ours never are, and may look for their end for ever.
            raise _damaged(log, at, f"{kind} is no kind of record")
        if kind < _FULL or behind > size or length > left - _PIECE.size:
            return _End(whole, at if begin is None else begin, number)
        if kind in (_FULL, _FIRST) and length >= _CHANGES.size:
            first, count = _CHANGES.unpack_from(data, at + _PIECE.size)
            if first > _MOST_CHANGES:
                raise _damaged(log, at, f"{first} is no number of a change")
            if number is not None and first != number:
                raise _damaged(log, at, f"change {number} is missing before change {first}")
            number = first + count
        elif kind in (_FULL, _FIRST):
            number = None  # the number itself goes on in the next block
        if kind == _FIRST:
            begin = at
        elif kind in (_FULL, _LAST):
            begin, whole = None, behind
        at = behind


def _check_rest(log: Path, data: mmap.mmap, end: _End) -> None:
    """Looks for signs that what follows the last whole record was once whole."""
    if end.cut is None:
        return
    # A record that is whole but for its length: the checksum leaves that out.
    at, size = end.cut, len(data)
    if _PIECE.size < size - at <= BLOCK_BYTES - at % BLOCK_BYTES:
        checksum, _, kind = _PIECE.unpack_from(data, at)
        if kind in (_FULL, _FIRST) and checksum == _masked_crc(data[at + 6 : size]):
            raise _damaged(log, at, "the length of a record is wrong")
    later = _later_record(data, end)
    if later is not None:
        raise _damaged(log, at, f"no record is there, and one follows at byte {later}")


def _later_record(data: mmap.mmap, end: _End) -> int | None:
    """Where a record begins behind the end, if there is one."""
    least = 0 if end.number is None else end.number
    for high in (least >> 24, (least >> 24) + 1):
        # The kind, and the number that is close to the last one.
        sought = re.compile(b"[\x01\x02].{3}" + re.escape(high.to_bytes(5, "little")), re.DOTALL)
        for found in sought.finditer(data, end.at):
            at = found.start() - _PIECE.size + 1
            left = BLOCK_BYTES - at % BLOCK_BYTES
            if at < end.at or left < _PIECE.size + _CHANGES.size:
                continue
            checksum, length, _ = _PIECE.unpack_from(data, at)
            behind = at + _PIECE.size + length
            if behind > len(data) or not _CHANGES.size <= length <= left - _PIECE.size:
                continue
            (first,) = struct.unpack_from("<Q", data, at + _PIECE.size)
            if first >= least and checksum == _masked_crc(data[at + 6 : behind]):
                return at
    return None


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901
        table.append(value)
    return table


_TABLE = _crc_table()


def _masked_crc(data: bytes) -> int:
    """CRC-32C in the form in which RocksDB writes it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
