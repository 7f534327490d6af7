"""What is left of a damaged spool's file: every row, schema and book that is still what was written."""

import contextlib
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

from agent.errors import DiskDamagedError
from agent.rows import HEAD, LONGEST, Books, Plan, Row, books_of, plan_of, row_of, schema_of
from czuwak.v1 import ingest_pb2 as pb

# Whatever sqlite3 makes of garbage: its messages quote it, so that even they may be no text.
DAMAGE = (sqlite3.Error, MemoryError, ValueError, OverflowError)


@contextlib.contextmanager
def opened(path: Path, head: bytes, plan: Plan) -> Iterator[sqlite3.Connection]:
    """The damaged file, to be read; first page and tables of a sound one take the place of its own that are wrong."""
    sound = False
    with contextlib.suppress(*DAMAGE), contextlib.closing(_connected(path)) as old:
        sound = plan_of(old) == plan
    if not sound:
        _put_in(path, head)
    with contextlib.closing(_connected(path)) as old:
        yield old


def books_in(old: sqlite3.Connection) -> Books:
    """The books, or empty ones."""
    try:
        return books_of(old.execute("select epoch, reserved, dropped, held, thinned, checksum from books").fetchall())
    except (*DAMAGE, DiskDamagedError):
        return Books()


def schemas_in(old: sqlite3.Connection) -> Iterator[tuple[bytes, pb.Schema]]:
    """Schemas that are right, up to where the file cannot be read any further."""
    try:
        for digest, data in old.execute("select hash, data from schema"):
            schema = schema_of(digest, data) if isinstance(digest, bytes) else None
            if schema is not None:
                yield digest, schema
    except DAMAGE:
        return


def survivors_in(old: sqlite3.Connection) -> Iterator[Row]:
    """Rows that are right, each once, from both ends up to where the file cannot be read any further."""
    seen: set[int] = set()
    for order in ("asc", "desc"):
        query = f"select {HEAD}, checksum, data from batch order by place {order}"  # noqa: S608
        with contextlib.suppress(*DAMAGE):
            for found in old.execute(query):
                row = row_of(found)
                if row is not None and row.place not in seen:  # a page may stand in the place of another as well
                    seen.add(row.place)
                    yield row
            return


def _connected(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(path, timeout=0.2, isolation_level=None)
    try:
        conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
        conn.text_factory = bytes
        # With a schema that may be written SQLite reads a file whose end was cut off, up to there.
        for pragma in ("trusted_schema = off", "cell_size_check = on", "writable_schema = on"):
            conn.execute(f"pragma {pragma}")
    except sqlite3.Error:
        conn.close()
        raise
    return conn


def _put_in(path: Path, head: bytes) -> None:
    """Every file of ours has its tables at the same pages, so their first pages differ in numbers only."""
    pages = path.stat().st_size // len(head)
    with path.open("r+b") as file:
        file.write(head[:28] + struct.pack(">I", pages) + head[32:])
