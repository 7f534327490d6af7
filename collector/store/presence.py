"""Presence as rows: conclusions taken by compare-and-set, what a Hello told, crashes and outages of the timeline."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import tables as t
from collector.store.bulk import update_rows
from collector.store.hosts import Scope, in_scope
from collector.tickets.text import NAME, line

CRASHED = "crashed"
OUTAGE = "outage"
_CHUNK = 200
_NO_DEADLINE = -1.0


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What all hosts of one claim become."""

    presence: str
    reason: str
    since: float
    deadline: float | None


@dataclass(frozen=True, slots=True)
class Seen:
    """One host as it was seen: only if the row is still so, the conclusion holds."""

    host: str
    gen: int
    deadline: float | None


@dataclass(frozen=True, slots=True)
class Boot:
    """The boot a host's session is of, and how many seconds that boot has slept."""

    host: str
    gen: int
    boot_id: str
    suspended: float


@dataclass(frozen=True, slots=True)
class Struck:
    """One host of an outage; `presence` is what it is now."""

    host_id: str
    name: str
    at: float
    presence: str


def claim(conn: Connection, seen: Iterable[Seen], to: Conclusion) -> frozenset[str]:
    """The hosts of which the conclusion was drawn by this call alone; the others had changed meanwhile."""
    c, wanted = t.host.c, list(seen)
    won: set[str] = set()
    for start in range(0, len(wanted), _CHUNK):
        rows = [
            (s.host, s.gen, _NO_DEADLINE if s.deadline is None else s.deadline)
            for s in sorted(wanted[start : start + _CHUNK], key=lambda s: s.host)
        ]
        now = sa.tuple_(c.id, c.session_gen, sa.func.coalesce(c.deadline, _NO_DEADLINE))
        update = sa.update(t.host).where(c.retired_at.is_(None), now.in_(rows))
        values = {
            "presence": to.presence,
            "presence_reason": line(to.reason, NAME),
            "presence_since": to.since,
            "deadline": to.deadline,
        }
        won |= set(conn.scalars(update.values(**values).returning(c.id)))
    return frozenset(won)


def note_boots(conn: Connection, boots: Iterable[Boot]) -> None:
    """The boots of sessions that were just opened."""
    rows = [
        (
            {"id": boot.host, "session_gen": boot.gen},
            {"boot_id": line(boot.boot_id, NAME), "suspended": boot.suspended},
        )
        for boot in boots
    ]
    update_rows(conn, t.host, rows)


def note_sleep(conn: Connection, slept: Mapping[str, tuple[int, float]]) -> None:
    """Of hosts (id -> generation, seconds): how long their boot has slept by now; it only grows."""
    if not slept:
        return
    c = t.host.c
    update = sa.update(t.host).where(
        c.id == sa.bindparam("b_id"), c.session_gen == sa.bindparam("b_gen"), c.suspended < sa.bindparam("b_slept")
    )
    rows = [{"b_id": h, "b_gen": gen, "b_slept": seconds} for h, (gen, seconds) in sorted(slept.items())]
    conn.execute(update.values(suspended=sa.bindparam("b_slept")), rows)


def crashes(conn: Connection, since: float) -> dict[str, tuple[tuple[float, bool], ...]]:
    """By host: when it crashed, and whether something else has told it already."""
    e = t.host_event.c
    query = sa.select(e.host_id, e.at, e.detail).where(e.kind == CRASHED, e.at >= since).order_by(e.at, e.id)
    found: dict[str, tuple[tuple[float, bool], ...]] = {}
    for row in conn.execute(query):
        found[row.host_id] = (*found.get(row.host_id, ()), (row.at, bool(row.detail.get("told"))))
    return found


def last_heard(conn: Connection) -> float | None:
    """When this installation last heard of a host that it thinks is there; None without such a host."""
    c = t.host.c
    restarted = sa.and_(c.presence == "unknown", c.presence_reason == "collector started")
    here = sa.or_(c.presence.in_(("online", "catching_up")), restarted)
    heard = conn.scalar(sa.select(sa.func.max(c.last_seen)).where(here, c.retired_at.is_(None)))
    return None if heard is None else float(heard)


def struck(
    conn: Connection, scope: Scope, began: float, ended: float, *, company: str = "", site: str | None = None
) -> Sequence[Struck]:
    """The hosts that an outage took, between two times, by name; `site` None is every site, as `company` empty."""
    e, h = t.host_event.c, t.host.c
    query = (
        sa.select(h.id, h.name, sa.func.min(e.at).label("at"), h.presence)
        .select_from(t.host_event.join(t.host, e.host_id == h.id).join(t.company, h.company_id == t.company.c.id))
        .where(e.kind == OUTAGE, e.at >= began, e.at <= ended, in_scope(scope))
        .group_by(h.id, h.name, h.presence)
        .order_by(h.name, h.id)
    )
    if company:
        query = query.where(t.company.c.slug == company)
    if site is not None:
        query = query.where(h.site == site)
    return [Struck(row.id, row.name, row.at, row.presence) for row in conn.execute(query)]
