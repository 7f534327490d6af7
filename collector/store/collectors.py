"""The ingest processes that share this database: who lives, by the database's clock alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import tables as t
from collector.store.engine import clock, plain
from collector.tickets.text import NAME, line

BEAT = 3.0  # seconds between two signs of life
DEAD_AFTER = 15.0  # seconds without one: somebody else may act for its hosts
_KEPT = 30 * 86_400.0
MOST_FAILING = 200  # failing rules a collector tells of: far more than anybody will work on one by one
LONGEST_FAILING = 16_384  # characters of their names and groups together

Failing = frozenset[tuple[str, str]]  # group and name of rules


@dataclass(frozen=True, slots=True)
class Collector:
    """One start of one ingest process; `id` is never used again."""

    id: str
    name: str
    started_at: float
    seen_at: float
    stopped_at: float | None
    failing: Failing  # rules it could not judge when it last beat


def register(conn: Connection, collector_id: str, name: str) -> float:
    """A process starts; the database's time. An earlier one of the same name has ended, however it did."""
    at, c = clock(conn), t.collector.c
    said = line(name, NAME)
    conn.execute(sa.delete(t.collector).where(c.seen_at < at - _KEPT))
    conn.execute(sa.update(t.collector).where(c.name == said, c.stopped_at.is_(None)).values(stopped_at=at))
    conn.execute(sa.insert(t.collector).values(id=collector_id, name=said, started_at=at, seen_at=at))
    return at


def beat(conn: Connection, collector_id: str, failing: Iterable[tuple[str, str]] = ()) -> float:
    """A sign of life with the rules that fail there; the database's time.

    It also takes back an end that was only supposed. Of very many rules the first are kept.
    """
    at = clock(conn)
    told = {"seen_at": at, "stopped_at": None, "failing": plain(_bounded(failing))}
    conn.execute(sa.update(t.collector).where(t.collector.c.id == collector_id).values(told))
    return at


def stop(conn: Connection, collector_id: str) -> None:
    """The orderly end: its hosts are free at once."""
    conn.execute(sa.update(t.collector).where(t.collector.c.id == collector_id).values(stopped_at=clock(conn)))


def collectors(conn: Connection) -> list[Collector]:
    """Every process there is a row of, the newest first."""
    rows = conn.execute(sa.select(t.collector).order_by(t.collector.c.started_at.desc(), t.collector.c.id))
    return [_collector(row) for row in rows]


def others(conn: Connection, collector_id: str, at: float) -> list[Collector]:
    """The living collectors besides this one."""
    c = t.collector.c
    living = c.stopped_at.is_(None) & (c.seen_at >= at - DEAD_AFTER)
    return [_collector(row) for row in conn.execute(sa.select(t.collector).where(c.id != collector_id, living))]


def alive(collector_id: sa.ColumnElement[str | None], at: float) -> sa.ColumnElement[bool]:
    """The condition that the process a column names still lives at `at`; false for NULL."""
    c = t.collector.c
    living = sa.select(c.id).where(c.id == collector_id, c.stopped_at.is_(None), c.seen_at >= at - DEAD_AFTER)
    return sa.exists(living.correlate_except(t.collector))


def _collector(row: sa.Row[Any]) -> Collector:
    values = row._asdict()
    return Collector(**{**values, "failing": frozenset((group, rule) for group, rule in values["failing"])})


def _bounded(failing: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """In the order of their names, so that which ones are kept does not change from beat to beat."""
    kept: list[tuple[str, str]] = []
    room = LONGEST_FAILING
    for group, rule in sorted(failing)[:MOST_FAILING]:
        room -= len(group) + len(rule)
        if room < 0:
            break
        kept.append((group, rule))
    return kept
