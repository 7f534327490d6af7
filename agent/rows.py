"""What is in the spool's file: rows, schemas and books, each with a checksum, and what of it is still as written."""

import sqlite3
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from google.protobuf.message import DecodeError

from agent import batch
from agent.errors import DiskDamagedError
from czuwak.v1 import ingest_pb2 as pb

LONGEST = 8 * 1024 * 1024  # of one value: a damaged length must not ask for gigabytes
HEAD = "place, epoch, seq, boottime_ns, schema, series, lost"


Plan = list[tuple[object, ...]]  # the tables of a file, and where they begin


@dataclass(frozen=True, slots=True)
class Row:
    """One batch on disk, `place` its order in the file; `lost` numbers right before it never come."""

    place: int
    epoch: str
    seq: int
    boottime_ns: int
    schema: bytes
    series: int
    lost: int
    data: bytes = b""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Books:
    """What outlives the process: numbers below `reserved` may have been used; `thinned`: places up to it were."""

    epoch: str = ""
    reserved: int = 1
    dropped: int = 0
    held: int = 0
    thinned: int = 0


def plan_of(conn: sqlite3.Connection) -> Plan:
    """The tables that are there."""
    return conn.execute("select name, rootpage, sql from sqlite_master order by name").fetchall()


def sum_of(books: Books) -> int:
    """Checksum of the books."""
    return zlib.crc32(repr((books.epoch, books.reserved, books.dropped, books.held, books.thinned)).encode())


def books_of(found: Sequence[tuple[object, ...]]) -> Books:
    """The books that are as written; DiskDamagedError without any."""
    for epoch, reserved, dropped, held, thinned, checksum in found:
        if isinstance(epoch, bytes):
            numbers = [n for n in (reserved, dropped, held, thinned) if isinstance(n, int)]
            books = Books(epoch.decode("utf-8", "replace"), *numbers) if len(numbers) == 4 else Books()
            if len(numbers) == 4 and sum_of(books) == checksum:
                return books
    raise DiskDamagedError("the books are damaged")


def packed(lost: int) -> bytes:
    """A number of lost batches, with its checksum."""
    number = struct.pack(">Q", lost)
    return number + struct.pack(">I", zlib.crc32(number))


def _unpacked(lost: object) -> int:
    if isinstance(lost, bytes) and len(lost) == 12 and zlib.crc32(lost[:8]) == int.from_bytes(lost[8:], "big"):
        return int.from_bytes(lost[:8], "big")
    return 0


def values_of(row: Row) -> tuple[object, ...]:
    """What of a row goes into its columns."""
    epoch, checksum = row.epoch.encode(), _checksum(row)
    return (
        row.place, epoch, row.seq, row.boottime_ns, row.schema, row.series, packed(row.lost), checksum, row.data
    )  # fmt: skip


def _checksum(row: Row) -> int:
    # The place too: numbers rise with it, and an acknowledgement of one number is one of those before it.
    facts = struct.pack(">qqqq", row.place, row.seq, row.boottime_ns, row.series)
    return zlib.crc32(b"\0".join((facts, row.epoch.encode(), row.schema, row.data)))


def head_of(found: tuple[object, ...]) -> Row:
    """A row without its data; DiskDamagedError where it cannot be one."""
    place, epoch, seq, boottime_ns, schema, series, lost, size = found
    match place, epoch, seq, boottime_ns, schema, series, size:
        case int(), bytes(), int(), int(), bytes(), int(), int():
            text = epoch.decode("utf-8", "replace")
            return Row(place, text, seq, boottime_ns, schema, series, _unpacked(lost), b"", size)
    raise DiskDamagedError("a row is damaged")


def row_of(found: tuple[object, ...]) -> Row | None:
    """The whole row; None when it is not what was written."""
    *head, checksum, data = found
    if not isinstance(data, bytes):
        return None
    try:
        row = replace(head_of((*head, len(data))), data=data)
    except DiskDamagedError:
        return None
    return row if _checksum(row) == checksum else None


def schema_of(digest: bytes, data: object) -> pb.Schema | None:
    """The schema; None when it is not what was written."""
    if not isinstance(data, bytes):
        return None
    try:
        schema = pb.Schema.FromString(data)
    except DecodeError:
        return None
    return schema if batch.hash_of(schema.series) == digest == schema.hash else None
