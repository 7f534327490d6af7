"""The ingest processes that share this database: who lives, by the database's clock alone."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import tables as t
from collector.store.engine import clock
from collector.tickets.text import NAME, line

BEAT = 3.0  # seconds between two signs of life
DEAD_AFTER = 15.0  # seconds without one: somebody else may act for its hosts
_KEPT = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Collector:
    """One start of one ingest process; `id` is never used again."""

    id: str
    name: str
    started_at: float
    seen_at: float
    stopped_at: float | None


def register(conn: Connection, collector_id: str, name: str) -> float:
    """A process starts; the database's time. An earlier one of the same name has ended, however it did."""
    at, c = clock(conn), t.collector.c
    said = line(name, NAME)
    conn.execute(sa.delete(t.collector).where(c.seen_at < at - _KEPT))
    conn.execute(sa.update(t.collector).where(c.name == said, c.stopped_at.is_(None)).values(stopped_at=at))
    conn.execute(sa.insert(t.collector).values(id=collector_id, name=said, started_at=at, seen_at=at))
    return at


def beat(conn: Connection, collector_id: str) -> float:
    """A sign of life; the database's time. It also takes back an end that was only supposed."""
    at = clock(conn)
    conn.execute(sa.update(t.collector).where(t.collector.c.id == collector_id).values(seen_at=at, stopped_at=None))
    return at


def stop(conn: Connection, collector_id: str) -> None:
    """The orderly end: its hosts are free at once."""
    conn.execute(sa.update(t.collector).where(t.collector.c.id == collector_id).values(stopped_at=clock(conn)))


def collectors(conn: Connection) -> list[Collector]:
    """Every process there is a row of, the newest first."""
    rows = conn.execute(sa.select(t.collector).order_by(t.collector.c.started_at.desc(), t.collector.c.id))
    return [Collector(**row._asdict()) for row in rows]


def others(conn: Connection, collector_id: str, at: float) -> frozenset[str]:
    """The names of the living collectors besides this one."""
    c = t.collector.c
    living = c.stopped_at.is_(None) & (c.seen_at >= at - DEAD_AFTER)
    return frozenset(conn.scalars(sa.select(c.name).where(c.id != collector_id, living)))


def alive(collector_id: sa.ColumnElement[str | None], at: float) -> sa.ColumnElement[bool]:
    """The condition that the process a column names still lives at `at`; false for NULL."""
    c = t.collector.c
    living = sa.select(c.id).where(c.id == collector_id, c.stopped_at.is_(None), c.seen_at >= at - DEAD_AFTER)
    return sa.exists(living.correlate_except(t.collector))
