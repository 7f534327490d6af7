"""Leases: one holder at a time for what belongs to no host. Taken by compare-and-set, fenced by a generation."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import tables as t
from collector.store.collectors import alive
from collector.store.engine import clock
from collector.store.upsert import insert

LEAD = "lead"  # judges alerts of no host, acts for hosts whose collector is dead
SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds it; `gen` grows with every new holder, never with a renewal."""

    name: str
    holder: str
    gen: int
    until: float


def acquire(conn: Connection, name: str, holder: str, seconds: float = SECONDS) -> int:
    """Take or renew it: the generation held, 0 while another live process has it.

    It is free once its time is over, or as soon as its holder's process has ended or is dead.
    """
    at, c = clock(conn), t.lease.c
    first = insert(conn, t.lease).values(name=name, holder="", gen=0, until=0.0)
    conn.execute(first.on_conflict_do_nothing(index_elements=["name"]))
    renewed = sa.update(t.lease).where(c.name == name, c.holder == holder)
    gen = conn.scalar(renewed.values(until=at + seconds).returning(c.gen))
    if gen is not None:
        return int(gen)
    free = sa.or_(c.until <= at, sa.not_(alive(c.holder, at)))
    taken = sa.update(t.lease).where(c.name == name, free)
    return int(conn.scalar(taken.values(holder=holder, gen=c.gen + 1, until=at + seconds).returning(c.gen)) or 0)


def release(conn: Connection, name: str, holder: str) -> None:
    """Give it back; nothing happens where another has it."""
    conn.execute(sa.update(t.lease).where(t.lease.c.name == name, t.lease.c.holder == holder).values(until=0.0))


def holds(conn: Connection, name: str, holder: str, gen: int) -> bool:
    """Whether this generation is still the newest; it stays so to the end of the transaction."""
    mine = sa.select(t.lease.c.gen).where(t.lease.c.name == name, t.lease.c.holder == holder, t.lease.c.gen == gen)
    return conn.scalar(mine.with_for_update(read=True)) is not None


def lease(conn: Connection, name: str) -> Lease | None:
    """As it stands; None where nobody ever took it."""
    row = conn.execute(sa.select(t.lease).where(t.lease.c.name == name)).one_or_none()
    return None if row is None else Lease(**row._asdict())
