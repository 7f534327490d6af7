"""The spool's file: batches with a checksum each and the books, in one SQLite connection, every change one transaction.

It is opened whatever its content: what is damaged is made anew from the rows that are still right. Every failure is
a DiskError, which never says more than that the batches in memory must do for now.
"""

import contextlib
import os
import sqlite3
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from google.protobuf.message import DecodeError

from agent import batch, files
from agent.errors import DiskDamagedError, DiskError, DiskFullError
from czuwak.v1 import ingest_pb2 as pb

MIB = 1024 * 1024
PAGE = 4096
LONGEST = 8 * MIB  # of one value: a damaged length must not ask for gigabytes
MOST_ROWS = 20_000
# The journal keeps this much of the disk for good, so that rows can be deleted from a disk that is full.
JOURNAL = 262144
_COMPANIONS = ("", "-journal", "-wal", "-shm")
_TABLES = """
create table books (one integer primary key, epoch blob, reserved integer, dropped integer, held integer,
  thinned integer, checksum integer);
create table schema (hash blob primary key, data blob) without rowid;
create table batch (place integer primary key, epoch blob, seq integer, boottime_ns integer, schema blob,
  series integer, lost blob, checksum integer, data blob);
create table room (data blob);
insert into room values (zeroblob(262144));
pragma user_version = 1;
"""
_HEAD = "place, epoch, seq, boottime_ns, schema, series, lost"
_OURS = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR,
         sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_PROTOCOL}  # fmt: skip


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


class Disk:
    """One file, at most `limit` bytes long. One thread owns it; every method raises DiskError and then is closed."""

    def __init__(self, path: Path, limit: int = 64 * MIB, most_rows: int = MOST_ROWS) -> None:
        self.books = Books()
        self.last = 0
        self.missing = 0  # batches the books tell of that `open` did not find
        self.size = 0  # bytes of the file that hold something
        self._path = path
        self._aside = path.with_name(path.name + ".damaged")
        self._limit = limit
        self._most_rows = most_rows
        self._conn: sqlite3.Connection | None = None
        self._inode = 0
        self._damaged = False  # found while it was used

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path

    @property
    def ready(self) -> bool:
        """Whether the file is open."""
        return self._conn is not None

    def open(self) -> None:
        """Open or make the file; a damaged one is made anew from what of it is right."""
        self.close()
        self.missing = 0
        with self._guarded():
            _make_way(self._path)
        try:
            if not self._damaged:
                self._start()
        except DiskDamagedError:
            self._damaged = True
        except DiskFullError:
            self.close()
            raise
        if self._damaged:
            self._set_aside()
        if self._aside.exists():  # now, or at a start that was cut short
            self._salvage()

    def close(self) -> None:
        """Let go of the file; nothing is written."""
        if self._conn is not None:
            with contextlib.suppress(sqlite3.Error):
                self._conn.close()
            self._conn = None

    def change(
        self, books: Books, *, add: Sequence[Row] = (), schemas: Mapping[bytes, pb.Schema] | None = None,
        remove: Iterable[int] = (), lost: Mapping[int, int] | None = None,
    ) -> int:  # fmt: skip
        """One transaction: rows removed and added, `lost` set by place, the books written; returns how many went."""
        with self._guarded() as conn:
            before = conn.total_changes
            conn.executemany("delete from batch where place = ?", ((place,) for place in remove))
            removed = conn.total_changes - before
            changes = [(_packed(number), place) for place, number in (lost or {}).items()]
            conn.executemany("update batch set lost = ? where place = ?", changes)
            if self.books.held - removed + len(add) > self._most_rows:
                raise DiskFullError(f"{self._path}: {self._most_rows} batches are the limit")
            for digest, schema in (schemas or {}).items():
                known = conn.execute("select 1 from schema where hash = ?", (digest,)).fetchone()
                if not known:
                    conn.execute("insert into schema values (?, ?)", (digest, schema.SerializeToString()))
            conn.executemany("insert or replace into batch values (?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_values, add))
            held = self.books.held + len(add) - removed
            self._end(conn, replace(books, held=held))
            if not held and removed:
                self._shrink(conn)
        self.last = max([self.last, *(row.place for row in add)])
        return removed

    def remove_below(self, epoch: str, seq: int, books: Books) -> int:
        """Remove an epoch's rows whose number is lower; returns how many there were."""
        with self._guarded() as conn:
            found = conn.execute("select place from batch where epoch = ? and seq < ?", (epoch.encode(), seq))
            places = [place for (place,) in found]
            conn.execute("rollback")
        return self.change(books, remove=places) if places else 0

    def heads(self, after: int, before: int, limit: int) -> list[Row]:
        """Rows in order, without their data, at places between the two."""
        query = f"select {_HEAD}, length(data) from batch where place > ? and place < ? order by place limit ?"  # noqa: S608
        with self._reading() as conn:
            return [_head(found) for found in conn.execute(query, (after, before, limit))]

    def places(self, after: int, through: int) -> list[int]:
        """Every place in a range."""
        with self._reading() as conn:
            found = conn.execute("select place from batch where place > ? and place <= ?", (after, through))
            return [place for (place,) in found]

    def has(self, place: int) -> bool:
        """Whether there is a row."""
        with self._reading() as conn:
            return conn.execute("select 1 from batch where place = ?", (place,)).fetchone() is not None

    def oldest(self, epoch: str) -> int | None:
        """Lowest number of an epoch."""
        with self._reading() as conn:
            query = "select seq from batch where epoch = ? order by place limit 1"
            found = conn.execute(query, (epoch.encode(),)).fetchone()
            return None if found is None else int(found[0])

    def count(self, through: int) -> int:
        """How many rows there are up to a place."""
        with self._reading() as conn:
            return int(conn.execute("select count(*) from batch where place <= ?", (through,)).fetchone()[0])

    def read(self, place: int) -> Row | None:
        """The whole row; None when it is not there or not what was written."""
        with self._reading() as conn:
            query = f"select {_HEAD}, checksum, data from batch where place = ?"  # noqa: S608
            found = conn.execute(query, (place,)).fetchone()
        return None if found is None else _row(found)

    def schema(self, digest: bytes) -> pb.Schema | None:
        """A schema that was stored with a batch; None when it is not there or not what was written."""
        with self._reading() as conn:
            found = conn.execute("select data from schema where hash = ?", (digest,)).fetchone()
        return None if found is None else _schema(digest, found[0])

    # --- opening ---

    def _start(self) -> None:
        with self._guarded(begin=False):
            self._conn = conn = _connected(self._path, self._limit)
            if conn.execute("pragma user_version").fetchone()[0] == 0 and not _tables(conn):
                self._make(conn)
            found = conn.execute("select epoch, reserved, dropped, held, thinned, checksum from books").fetchall()
            held, last = conn.execute("select count(*), coalesce(max(place), 0) from batch").fetchone()
            self.books = _books(found)
            self.last = last
            self._measure(conn)
            self._inode = self._path.stat().st_ino
            if held != self.books.held:
                raise DiskDamagedError(f"{self._path}: {held} batches are there, {self.books.held} were written")

    def _make(self, conn: sqlite3.Connection) -> None:
        self._path.chmod(files.PRIVATE)
        conn.executescript(f"begin immediate; {_TABLES}")
        self._end(conn, Books())
        files.sync_folder(self._path.parent)
        # Written twice in one place, the second time through the journal, whose length then stays.
        conn.execute("begin immediate")
        conn.execute("update room set data = ?", (bytes(JOURNAL - 1) + b"1",))
        conn.execute("commit")
        conn.executescript("begin immediate; drop table room; commit;")

    def _set_aside(self) -> None:
        with self._guarded(begin=False):
            for suffix in _COMPANIONS:
                Path(f"{self._aside}{suffix}").unlink(missing_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self._path}{suffix}").replace(f"{self._aside}{suffix}")
        self._damaged = False

    def _salvage(self) -> None:
        """Copy what is right into the new file. What cannot be copied, for want of room say, is missing."""
        try:
            if self._conn is None:
                self._start()
            with contextlib.suppress(*_DAMAGE), contextlib.closing(_connected(self._aside)) as old:
                self._copy(old)
        except DiskFullError:
            if not self.last:
                self.close()
                raise
        finally:
            for suffix in _COMPANIONS:
                with contextlib.suppress(OSError):
                    Path(f"{self._aside}{suffix}").unlink()

    def _copy(self, old: sqlite3.Connection) -> None:
        found = _old_books(old)
        books = self.books if self.books.epoch else found
        self.missing = found.held
        self.change(books, schemas=dict(_old_schemas(old)))
        for rows in _pieces(_survivors(old), 64):
            self.change(books, remove=[row.place for row in rows], add=rows)
            self.missing = max(0, self.missing - len(rows))

    # --- one change ---

    def _end(self, conn: sqlite3.Connection, books: Books) -> None:
        values = (books.epoch.encode(), books.reserved, books.dropped, books.held, books.thinned, _sum_of(books))
        conn.execute("insert or replace into books values (1, ?, ?, ?, ?, ?, ?)", values)
        conn.execute("commit")
        self.books = books
        self._measure(conn)

    def _measure(self, conn: sqlite3.Connection) -> None:
        pages, free = (conn.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        self.size = (pages - free) * PAGE

    def _shrink(self, conn: sqlite3.Connection) -> None:
        """Give the room back; the change before is done, whatever becomes of this."""
        with contextlib.suppress(sqlite3.Error):
            conn.execute("begin immediate")
            conn.execute("delete from schema")
            conn.execute("commit")
            conn.executescript("pragma incremental_vacuum")  # `execute` would give one page back
            self._measure(conn)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._guarded(begin=False) as conn:
            yield conn

    @contextlib.contextmanager
    def _guarded(self, *, begin: bool = True) -> Iterator[sqlite3.Connection]:
        """Every failure as a DiskError. A full disk undoes the change and no more; any other closes the file."""
        conn = self._conn
        try:
            if conn is not None and begin:
                self._check_there()
                conn.execute("begin immediate")
            yield conn  # type: ignore[misc]  # None only before it is opened
        except DiskFullError:
            self._undo()
            raise
        except DiskError as error:
            self._damaged |= isinstance(error, DiskDamagedError)
            self.close()
            raise
        except (sqlite3.Error, OSError, MemoryError, ValueError, TypeError, OverflowError, AttributeError) as error:
            failure = _failure(error, self._path)
            if isinstance(failure, DiskFullError) and self._conn is not None:
                self._undo()
            else:
                self._damaged |= isinstance(failure, DiskDamagedError)
                self.close()
            raise failure from error

    def _check_there(self) -> None:
        if self._path.stat().st_ino != self._inode:
            raise DiskError(f"{self._path} was replaced by another file")

    def _undo(self) -> None:
        if self._conn is not None and self._conn.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._conn.execute("rollback")


def _failure(error: Exception, path: Path) -> DiskError:
    if isinstance(error, OSError):
        return DiskError(f"{path}: {error.strerror or error}")
    if isinstance(error, AttributeError):
        return DiskError(f"{path} is not open")
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return DiskFullError(f"{path}: no room")
    # A header that claims a newer format makes a file read-only that the system would let us write.
    claimed = code == sqlite3.SQLITE_READONLY and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    if code & 0xFF in _OURS and code != sqlite3.SQLITE_IOERR_SHORT_READ and not claimed:
        return DiskError(f"{path}: {error}")
    return DiskDamagedError(f"{path} is damaged: {error}")


def _make_way(path: Path) -> None:
    """The folder is there and nothing but a file of ours is at the path."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        kind = path.lstat().st_mode
        if stat.S_ISDIR(kind):
            raise DiskError(f"{path} is a folder: remove it")
        if not stat.S_ISREG(kind):
            path.unlink()


def _connected(path: Path, limit: int = 0) -> sqlite3.Connection:
    """A connection; without a limit only to read what is left."""
    pragmas = ["trusted_schema = off", "cell_size_check = on", "cache_size = -512", "temp_store = memory"]
    if limit:
        pragmas += [
            "locking_mode = exclusive", "auto_vacuum = incremental", "synchronous = full",
            f"journal_size_limit = {JOURNAL}", "journal_mode = persist", f"max_page_count = {limit // PAGE}",
        ]  # fmt: skip
    conn = sqlite3.connect(path, timeout=0.2, isolation_level=None, check_same_thread=False)
    try:
        conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
        conn.text_factory = bytes
        for pragma in pragmas:
            conn.execute(f"pragma {pragma}").fetchall()
    except sqlite3.Error:
        conn.close()
        raise
    return conn


def _tables(conn: sqlite3.Connection) -> int:
    return int(conn.execute("select count(*) from sqlite_master").fetchone()[0])


# --- rows, checked ---


def _sum_of(books: Books) -> int:
    return zlib.crc32(repr((books.epoch, books.reserved, books.dropped, books.held, books.thinned)).encode())


def _books(found: Sequence[tuple[object, ...]]) -> Books:
    for epoch, reserved, dropped, held, thinned, checksum in found:
        if isinstance(epoch, bytes):
            numbers = [n for n in (reserved, dropped, held, thinned) if isinstance(n, int)]
            books = Books(epoch.decode("utf-8", "replace"), *numbers) if len(numbers) == 4 else Books()
            if len(numbers) == 4 and _sum_of(books) == checksum:
                return books
    raise DiskDamagedError("the books are damaged")


def _packed(lost: int) -> bytes:
    number = struct.pack(">Q", lost)
    return number + struct.pack(">I", zlib.crc32(number))


def _unpacked(lost: object) -> int:
    if isinstance(lost, bytes) and len(lost) == 12 and zlib.crc32(lost[:8]) == int.from_bytes(lost[8:], "big"):
        return int.from_bytes(lost[:8], "big")
    return 0


def _values(row: Row) -> tuple[object, ...]:
    epoch, checksum = row.epoch.encode(), _checksum(row)
    return (
        row.place, epoch, row.seq, row.boottime_ns, row.schema, row.series, _packed(row.lost), checksum, row.data
    )  # fmt: skip


def _checksum(row: Row) -> int:
    facts = struct.pack(">qqq", row.seq, row.boottime_ns, row.series)
    return zlib.crc32(b"\0".join((facts, row.epoch.encode(), row.schema, row.data)))


def _head(found: tuple[object, ...]) -> Row:
    place, epoch, seq, boottime_ns, schema, series, lost, size = found
    match place, epoch, seq, boottime_ns, schema, series, size:
        case int(), bytes(), int(), int(), bytes(), int(), int():
            text = epoch.decode("utf-8", "replace")
            return Row(place, text, seq, boottime_ns, schema, series, _unpacked(lost), b"", size)
    raise DiskDamagedError("a row is damaged")


def _row(found: tuple[object, ...]) -> Row | None:
    *head, checksum, data = found
    if not isinstance(data, bytes):
        return None
    try:
        row = replace(_head((*head, len(data))), data=data)
    except DiskDamagedError:
        return None
    return row if _checksum(row) == checksum else None


def _schema(digest: bytes, data: object) -> pb.Schema | None:
    if not isinstance(data, bytes):
        return None
    try:
        schema = pb.Schema.FromString(data)
    except DecodeError:
        return None
    return schema if batch.hash_of(schema.series) == digest == schema.hash else None


# --- what is left of a damaged file ---

# Whatever sqlite3 makes of garbage: its messages quote it, so that even they may be no text.
_DAMAGE = (sqlite3.Error, MemoryError, ValueError, OverflowError)


def _old_books(old: sqlite3.Connection) -> Books:
    try:
        return _books(old.execute("select epoch, reserved, dropped, held, thinned, checksum from books").fetchall())
    except (*_DAMAGE, DiskDamagedError):
        return Books()


def _old_schemas(old: sqlite3.Connection) -> Iterator[tuple[bytes, pb.Schema]]:
    try:
        for digest, data in old.execute("select hash, data from schema"):
            schema = _schema(digest, data) if isinstance(digest, bytes) else None
            if schema is not None:
                yield digest, schema
    except _DAMAGE:
        return


def _survivors(old: sqlite3.Connection) -> Iterator[Row]:
    """Rows that are right, from both ends up to where the file cannot be read any further."""
    seen = 0
    for order, limit in (("asc", 0), ("desc", 1)):
        query = f"select {_HEAD}, checksum, data from batch order by place {order}"  # noqa: S608
        with contextlib.suppress(*_DAMAGE):
            for found in old.execute(query):
                if not isinstance(found[0], int) or (limit and found[0] <= seen):
                    break
                seen = seen if limit else max(seen, found[0])
                row = _row(found)
                if row is not None and 0 < row.place < 2**62:
                    yield row


def _pieces(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    piece: list[Row] = []
    for row in rows:
        piece.append(row)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece
