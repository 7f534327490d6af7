"""Connections: one `Store` per process over SQLite or PostgreSQL, with read and write transactions and their errors."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from collector.store import sqlite
from collector.store.errors import StoreError, translated
from collector.tickets.text import clean

_PG_OPTIONS = "-c statement_timeout=30000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=10000"


class Store:
    """A database that is open and has the right schema. Safe to share between threads, not over a fork."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(czuwak_write=True)
        self.url = engine.url.render_as_string(hide_password=True)
        self.dialect = engine.dialect.name

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction: committed at the end of the block, rolled back by any error. Raises StoreError."""
        with _told(), self._writer.begin() as conn:
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction for reading; never committed. Raises StoreError."""
        with _told(), self._engine.connect() as conn:
            yield conn

    def close(self) -> None:
        """Give back every connection."""
        self._engine.dispose()


def connect(url: str, *, create: bool = False) -> Engine:
    """An engine with our settings; does not look at the schema. Raises StoreError for a url it cannot use.

    A SQLite file that is not there is made only with `create`, readable by its owner alone.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, create=create)
    return _postgresql(parsed)


def clock(conn: Connection) -> float:
    """The database's time in Unix seconds: what decides deadlines, so that all collectors agree."""
    if conn.dialect.name == "sqlite":
        days = conn.scalar(sa.text("SELECT julianday('now')"))
        return (float(days or 0.0) - 2440587.5) * 86_400.0
    return float(conn.scalar(sa.text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)


def finite(value: float | None) -> float | None:
    """What may be stored of a number: NaN and infinities become None."""
    return value if value is not None and math.isfinite(value) else None


def plain(value: object) -> Any:
    """JSON data without what a database refuses: no NaN, no infinities, no NUL, no lone surrogates."""
    match value:
        case str():
            return clean(value)
        case bool() | int() | None:
            return value
        case float():
            return finite(value)
        case dict():
            return {clean(str(k)): plain(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(v) for v in value]
        case _:
            return clean(str(value))


def to_json(value: object) -> str:
    """As JSON columns are written."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise translated(error) from error


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError:
        raise StoreError("the database url is wrong; write sqlite:///path or postgresql://user@host/name") from None
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"sqlite", "postgresql+psycopg"}:
        raise StoreError(f"database {parsed.drivername!r} is not supported; use sqlite:///path or postgresql://…")
    return parsed


def _sqlite(url: URL, *, create: bool) -> Engine:
    if not url.database or url.database == ":memory:":
        raise StoreError("the SQLite url needs a path, as in sqlite:////var/lib/czuwak/czuwak.db")
    path = Path(url.database).resolve()
    sqlite.check_directory(path)
    sqlite.check_place(path, sqlite.mounts())
    sqlite.check_file(path, create=create)
    engine = sa.create_engine(
        url,
        pool_size=5,
        max_overflow=5,
        pool_timeout=10,
        # The driver's own transactions start too late (deferred); ours are begun below.
        connect_args={"timeout": sqlite.BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
        json_serializer=to_json,
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _postgresql(url: URL) -> Engine:
    return sa.create_engine(
        url,
        pool_size=5,
        max_overflow=5,
        pool_timeout=10,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
        connect_args={"connect_timeout": 5, "options": _PG_OPTIONS, "application_name": "czuwak"},
        json_serializer=to_json,
    )


def _prepare(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    sqlite.prepare(connection)  # type: ignore[arg-type]


def _begin(conn: Connection) -> None:
    # A write that begins deferred may fail at its first statement whatever the busy timeout: take the lock at once.
    conn.exec_driver_sql("BEGIN IMMEDIATE" if conn.get_execution_options().get("czuwak_write") else "BEGIN")
