"""The spool's file: batches with a checksum each and the books, in one SQLite connection, every change one transaction.

It is opened whatever its content: what is damaged is made anew from the rows that are still right. Every failure is
a DiskError, which never says more than that the batches in memory must do for now.
"""

import contextlib
import functools
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agent import files, salvage
from agent.errors import DiskDamagedError, DiskError, DiskFullError
from agent.rows import (
    HEAD,
    LONGEST,
    Books,
    Plan,
    Row,
    books_of,
    head_of,
    packed,
    plan_of,
    row_of,
    schema_of,
    sum_of,
    values_of,
)
from czuwak.v1 import ingest_pb2 as pb

MIB = 1024 * 1024
PAGE = 4096
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
_OURS = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR,
         sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_PROTOCOL}  # fmt: skip


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
            changes = [(packed(number), place) for place, number in (lost or {}).items()]
            conn.executemany("update batch set lost = ? where place = ?", changes)
            if self.books.held - removed + len(add) > self._most_rows:
                raise DiskFullError(f"{self._path}: {self._most_rows} batches are the limit")
            for digest, schema in (schemas or {}).items():
                known = conn.execute("select 1 from schema where hash = ?", (digest,)).fetchone()
                if not known:
                    conn.execute("insert into schema values (?, ?)", (digest, schema.SerializeToString()))
            conn.executemany("insert or replace into batch values (?, ?, ?, ?, ?, ?, ?, ?, ?)", map(values_of, add))
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
        query = f"select {HEAD}, length(data) from batch where place > ? and place < ? order by place limit ?"  # noqa: S608
        with self._reading() as conn:
            return [head_of(found) for found in conn.execute(query, (after, before, limit))]

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
            query = f"select {HEAD}, checksum, data from batch where place = ?"  # noqa: S608
            found = conn.execute(query, (place,)).fetchone()
        return None if found is None else row_of(found)

    def schema(self, digest: bytes) -> pb.Schema | None:
        """A schema that was stored with a batch; None when it is not there or not what was written."""
        with self._reading() as conn:
            found = conn.execute("select data from schema where hash = ?", (digest,)).fetchone()
        return None if found is None else schema_of(digest, found[0])

    # --- opening ---

    def _start(self) -> None:
        with self._guarded(begin=False):
            self._conn = conn = _connected(self._path, self._limit)
            if conn.execute("pragma user_version").fetchone()[0] == 0 and not _tables(conn):
                self._make(conn)
            if plan_of(conn) != _sound_plan():
                raise DiskDamagedError(f"{self._path}: its tables are not as they were made")
            found = conn.execute("select epoch, reserved, dropped, held, thinned, checksum from books").fetchall()
            # Pages that can be read may still lead past a row: it would never be sent, and never be counted.
            if (wrong := conn.execute("pragma quick_check(1)").fetchone()[0]) != b"ok":
                raise DiskDamagedError(f"{self._path}: {wrong.decode(errors='replace')}")
            held, last = conn.execute("select count(*), coalesce(max(place), 0) from batch").fetchone()
            self.books = books_of(found)
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
            head = self._conn.serialize()[:PAGE] if self._conn is not None else b""
            with contextlib.suppress(*salvage.DAMAGE, OSError), salvage.opened(self._aside, head, _sound_plan()) as old:
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
        found = salvage.books_in(old)
        books = self.books if self.books.epoch else found
        self.missing = found.held
        self.change(books, schemas=dict(salvage.schemas_in(old)))
        for rows in _pieces(salvage.survivors_in(old), 64):
            self.change(books, remove=[row.place for row in rows], add=rows)
            self.missing = max(0, self.missing - len(rows))

    # --- one change ---

    def _end(self, conn: sqlite3.Connection, books: Books) -> None:
        values = (books.epoch.encode(), books.reserved, books.dropped, books.held, books.thinned, sum_of(books))
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


def _connected(path: Path, limit: int) -> sqlite3.Connection:
    pragmas = (
        "trusted_schema = off", "cell_size_check = on", "cache_size = -512", "temp_store = memory",
        "locking_mode = exclusive", "auto_vacuum = incremental", "synchronous = full",
        f"journal_size_limit = {JOURNAL}", "journal_mode = persist", f"max_page_count = {limit // PAGE}",
    )  # fmt: skip
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


@functools.cache
def _sound_plan() -> Plan:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        conn.text_factory = bytes
        conn.executescript(f"pragma auto_vacuum = incremental; {_TABLES} drop table room;")
        return plan_of(conn)


def _tables(conn: sqlite3.Connection) -> int:
    return int(conn.execute("select count(*) from sqlite_master").fetchone()[0])


def _pieces(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    piece: list[Row] = []
    for row in rows:
        piece.append(row)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece
