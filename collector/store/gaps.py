"""What is missing of a host's past: batches its agent dropped, and what began and ended unseen. Each counts once."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import tables as t
from collector.store.engine import plain
from collector.store.hosts import add_host_event
from collector.tickets.text import NAME, line

TOGETHER = 3600.0  # losses of one hour are one line of the timeline
LOST = "batches_lost"
MISSED = "missed_incident"


@dataclass(frozen=True, slots=True)
class Missed:
    """A rule's condition was true on a host from `start` to `end`, long enough to fire, and nobody could see it."""

    instance: str
    rule: str
    key: str  # of the alert it would have been
    start: float
    end: float
    value: float
    summary: str = ""
    summary_pl: str = ""


def count_lost(conn: Connection, host_id: str, gen: int, epoch: str, total: int, at: float) -> int:
    """The agent has dropped `total` batches of this epoch so far: how many of them nobody had counted yet.

    0 as well where a newer session owns the host. One line on the timeline for the losses of an hour.
    """
    mine = sa.and_(t.host.c.id == host_id, t.host.c.session_gen == gen)
    row = conn.execute(sa.select(t.host.c.lost_epoch, t.host.c.lost_told).where(mine).with_for_update()).one_or_none()
    if row is None:
        return 0
    more = total - (row.lost_told if row.lost_epoch == epoch else 0)
    if more <= 0:
        return 0
    values = {"lost": t.host.c.lost + more, "lost_epoch": epoch, "lost_told": total}
    conn.execute(sa.update(t.host).where(mine).values(**values))
    _tell_lost(conn, host_id, more, at)
    return more


def add_missed(conn: Connection, missed: Missed) -> bool:
    """One line on the timeline of the host with this instance; False where it has it already, or is no host."""
    host_id = conn.scalar(sa.select(t.host.c.id).where(t.host.c.instance == missed.instance))
    if host_id is None or _overlaps(conn, host_id, missed):
        return False
    detail = {
        "rule": line(missed.rule, NAME),
        "key": missed.key,
        "from": missed.start,
        "to": missed.end,
        "value": missed.value,
        "summary": missed.summary[:500],
        "summary_pl": missed.summary_pl[:500],
    }
    add_host_event(conn, host_id, missed.end, MISSED, detail)
    return True


def _overlaps(conn: Connection, host_id: str, missed: Missed) -> bool:
    """A replay that is told again finds the same times but for a step or two."""
    e = t.host_event.c
    query = sa.select(e.detail).where(e.host_id == host_id, e.kind == MISSED, e.at >= missed.start)
    told = (d for d in conn.scalars(query) if d.get("key") == missed.key)
    return any(d.get("from", 0.0) <= missed.end for d in told)


def _tell_lost(conn: Connection, host_id: str, more: int, at: float) -> None:
    e = t.host_event.c
    query = sa.select(e.id, e.detail).where(e.host_id == host_id, e.kind == LOST, e.at > at - TOGETHER)
    row = conn.execute(query.order_by(e.id.desc()).limit(1)).one_or_none()
    if row is None:
        add_host_event(conn, host_id, at, LOST, {"count": more})
    else:
        detail = plain({**row.detail, "count": int(row.detail.get("count", 0)) + more})
        conn.execute(sa.update(t.host_event).where(e.id == row.id).values(detail=detail))
