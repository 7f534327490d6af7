"""Tickets and their timelines: finding, writing, reading marks. Another company's ticket is not found."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.labels import Labels
from collector.store import tables as t
from collector.store import ticket_writes
from collector.store.alerts import chunks
from collector.store.errors import StoreError
from collector.store.hosts import Scope, in_scope
from collector.store.ticket_writes import Told
from collector.store.upsert import insert
from collector.tickets.entry import EntryKind, TicketEvent
from collector.tickets.priority import Priority
from collector.tickets.ticket import Actor, Kind, Level, NewTicket, Source, Status, Ticket

__all__ = [
    "Scope",
    "by_key",
    "change_ticket",
    "claim_request",
    "find",
    "in_companies",
    "insert_ticket",
    "keep_request",
    "mark_read",
    "open_by_host",
    "open_by_key",
    "open_by_rules",
    "queue_version",
    "related",
    "select_tickets",
    "settling",
    "ticket_of",
    "timeline",
    "touch_queue",
    "unread",
]

_BULKY = {"evidence", "search"}
_LIST = (
    *(c for c in t.ticket.c if c.name not in {*_BULKY, "company_id"}),
    t.company.c.slug.label("company"),
    t.company.c.name.label("company_name"),
    t.user.c.name.label("assignee"),
)


def select_tickets(*more: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """All a list shows of tickets, with company and assignee joined; `more` columns beside."""
    joined = t.ticket.join(t.company, t.ticket.c.company_id == t.company.c.id)
    return sa.select(*_LIST, *more).select_from(joined.outerjoin(t.user, t.ticket.c.assignee_id == t.user.c.id))


def in_companies(conn: Connection, scope: Scope) -> sa.ColumnElement[bool]:
    """The condition on tickets that keeps a reader in their companies.

    The `+ 0` keeps it from choosing the index: the queue is read in its order, companies are filtered on the way.
    """
    if scope is None:
        return sa.true()
    ids = conn.scalars(sa.select(t.company.c.id).where(in_scope(scope))).all()
    return (t.ticket.c.company_id + 0).in_(ids)


def find(conn: Connection, ref: str | int, scope: Scope, *, lock: bool = False) -> Ticket | None:
    """One ticket with its evidence, by number (also only its digits) or id; None where the reader has none."""
    query = select_tickets(t.ticket.c.evidence).where(_named(ref), in_scope(scope))
    if lock:
        query = query.with_for_update(of=t.ticket)
    row = conn.execute(query.limit(1)).one_or_none()
    return None if row is None else ticket_of(row)


def timeline(conn: Connection, ticket_id: int, *, public_only: bool = False) -> list[TicketEvent]:
    """A ticket's whole timeline, oldest first."""
    query = sa.select(t.ticket_event).where(t.ticket_event.c.ticket_id == ticket_id).order_by(t.ticket_event.c.id)
    if public_only:
        query = query.where(t.ticket_event.c.public.is_(True))
    return [_event(row) for row in conn.execute(query)]


def related(conn: Connection, ticket: Ticket, *, limit: int = 5) -> list[Ticket]:
    """Earlier tickets of the company by problem, host or rule, the likest first; `resolution` says how they ended."""
    c = t.ticket.c
    likeness = [c.dedup_key == ticket.dedup_key] if ticket.dedup_key else []
    likeness += [c.host_id == ticket.host_id] if ticket.host_id else []
    likeness += [c.rule_name == ticket.rule_name] if ticket.rule_name else []
    earlier = select_tickets().where(c.id != ticket.id, c.created_at <= ticket.created_at)
    earlier = earlier.where(t.company.c.slug == ticket.company).order_by(c.created_at.desc(), c.id.desc())
    found: dict[int, Ticket] = {}
    for like in likeness:  # each has its own index; one query with OR would have none
        for row in conn.execute(earlier.where(like).limit(limit)):
            found.setdefault(row.id, ticket_of(row))
    return list(found.values())[:limit]


def open_by_host(conn: Connection, scope: Scope) -> dict[str, int]:
    """How many tickets stand in the queue for each host that has any."""
    query = sa.select(t.ticket.c.host_id, sa.func.count()).join(t.company).where(in_scope(scope))
    rows = conn.execute(
        query.where(t.ticket.c.resolved_at.is_(None), t.ticket.c.host_id.is_not(None)).group_by(t.ticket.c.host_id)
    )
    return {row[0]: row[1] for row in rows}


def queue_version(conn: Connection, scope: Scope) -> int:
    """Grows with every committed change of a ticket in scope: same number, same queue."""
    return int(
        conn.scalar(sa.select(sa.func.coalesce(sa.func.sum(t.company.c.revision), 0)).where(in_scope(scope))) or 0
    )


def touch_queue(conn: Connection, companies: Iterable[str]) -> None:
    """Move the version of these companies (slugs); the last statement of a transaction, as it holds their rows."""
    for slug in sorted(set(companies)):
        conn.execute(sa.update(t.company).where(t.company.c.slug == slug).values(revision=t.company.c.revision + 1))


def unread(conn: Connection, user_id: int, tickets: Sequence[Ticket]) -> frozenset[int]:
    """Which of these tickets have something the user has not seen; ids."""
    c = t.ticket_read.c
    query = sa.select(c.ticket_id, c.event_id).where(c.user_id == user_id, c.ticket_id.in_([x.id for x in tickets]))
    seen = {row.ticket_id: row.event_id for row in conn.execute(query)}
    return frozenset(x.id for x in tickets if x.last_event > seen.get(x.id, 0))


def mark_read(conn: Connection, user_id: int, ticket_id: int, event_id: int) -> None:
    """The user has seen the ticket up to an event; never moves back."""
    new = insert(conn, t.ticket_read).values(user_id=user_id, ticket_id=ticket_id, event_id=event_id)
    later = new.excluded.event_id > t.ticket_read.c.event_id
    changed = {"event_id": new.excluded.event_id}
    conn.execute(new.on_conflict_do_update(index_elements=["user_id", "ticket_id"], set_=changed, where=later))


def open_by_key(conn: Connection, keys: Iterable[str]) -> dict[str, Ticket]:
    """The one ticket of each dedup key that is not closed, with evidence."""
    found: dict[str, Ticket] = {}
    for chunk in chunks(keys):
        query = select_tickets(t.ticket.c.evidence).where(
            t.ticket.c.dedup_key.in_(chunk), t.ticket.c.closed_at.is_(None)
        )
        found |= {row.dedup_key: ticket_of(row) for row in conn.execute(query)}
    return found


def by_key(conn: Connection, keys: Iterable[str]) -> tuple[dict[str, Ticket], dict[str, Ticket]]:
    """By dedup key: the one ticket that is not closed, and the closed one with the newest episode."""
    found = [ticket_of(row) for chunk in chunks(keys) for row in conn.execute(_NEWEST, {"keys": chunk})]
    open_ = {str(one.dedup_key): one for one in found if one.closed_at is None}
    return open_, {str(one.dedup_key): one for one in found if one.closed_at is not None}


def _newest() -> sa.Select[Any]:
    c = t.ticket.c
    place = sa.func.row_number().over(
        partition_by=(c.dedup_key, c.closed_at.is_(None)), order_by=(c.episode.desc(), c.id.desc())
    )
    mine = c.dedup_key.in_(sa.bindparam("keys", expanding=True))
    ranked = sa.select(c.id, place.label("place")).where(mine).subquery()
    return select_tickets().where(c.id.in_(sa.select(ranked.c.id).where(ranked.c.place == 1)))


_NEWEST = _newest()  # of the open and of the closed tickets of `keys`; built once, as every evaluation asks


def open_by_rules(conn: Connection, host_id: str, rules: Iterable[str] | None) -> list[Ticket]:
    """Tickets of a host that our rules opened and that are not closed, locked; `rules` None is of every rule."""
    c = t.ticket.c
    mine = (c.host_id == host_id, c.closed_at.is_(None), c.dedup_key.is_not(None), c.source == Source.MONITORING.value)
    named = sa.true() if rules is None else c.rule_name.in_(sorted(rules))
    # The problem's episode is its lock: a rule that is about to write the same ticket waits, or is waited for.
    keys = list(conn.scalars(sa.select(c.dedup_key).where(*mine, named)))
    locked = sa.select(t.episode.c.dedup_key).where(t.episode.c.dedup_key.in_(keys)).order_by(t.episode.c.dedup_key)
    conn.execute(locked.with_for_update())
    query = select_tickets(c.evidence).where(*mine, named).order_by(c.id)
    return [ticket_of(row) for row in conn.execute(query.with_for_update(of=t.ticket))]


def settling(conn: Connection, before: float, *, limit: int = 200) -> list[Ticket]:
    """Tickets in the queue marked as recovered at `before` or earlier, locked; the oldest marks first."""
    c = t.ticket.c
    query = select_tickets(c.evidence).where(c.recovered_at <= before, c.recovered_at.is_not(None))
    # coalesce keeps the mark's index the one that is used
    query = query.where(c.resolved_at.is_(None), c.status == Status.NEW.value, sa.func.coalesce(c.assignee_id, 0) == 0)
    query = query.where(c.first_reaction_at.is_(None)).order_by(c.recovered_at)
    rows = conn.execute(query.limit(limit).with_for_update(of=t.ticket, skip_locked=True))
    return [ticket_of(row) for row in rows]


def insert_ticket(conn: Connection, new: NewTicket, priority: Priority, at: float, *, year: int) -> Ticket | None:
    """Open one ticket; None where the key has an open one already. `year` is for the number."""
    company = conn.scalar(sa.select(t.company.c.id).where(t.company.c.slug == new.company))
    if company is None:
        raise StoreError(f"there is no company {new.company!r}")
    made = ticket_writes.insert_tickets(conn, [(new, company, priority)], at, year=year)
    return find(conn, made[0][0], None) if made else None


def change_ticket(conn: Connection, told: Told, actor: Actor | None, at: float) -> Ticket:
    """Write one change with its entries; raises StoreError(again) where the row is not as before any more."""
    ticket_writes.change_tickets(conn, [told], actor, at)
    found = find(conn, told.change.before.id, None)
    assert found is not None  # noqa: S101 - it was updated by this transaction
    return found


def claim_request(conn: Connection, actor: str, key: str) -> int | None:
    """The ticket an earlier request with this key opened; None where this is the first."""
    c = t.ticket_request.c
    return conn.scalar(sa.select(c.ticket_id).where(c.actor == actor, c.idempotency_key == key))


def keep_request(conn: Connection, actor: str, key: str, ticket_id: int, at: float) -> None:
    """Remember what a request opened; a race for the same key raises StoreError(again) at the end of the block."""
    row = {"actor": actor, "idempotency_key": key, "ticket_id": ticket_id, "at": at}
    conn.execute(sa.insert(t.ticket_request).values(row))


def ticket_of(row: sa.Row[Any]) -> Ticket:
    """The ticket of a row of `select_tickets`, whatever columns stand beside."""
    fields: Mapping[str, Any] = row._asdict()
    known = {name: fields[name] for name in Ticket.__dataclass_fields__ if name in fields}
    return Ticket(
        **{
            **known,
            "kind": Kind(row.kind),
            "source": Source(row.source),
            "impact": Level(row.impact),
            "urgency": Level(row.urgency),
            "priority": Priority(row.priority),
            "status": Status(row.status),
            "labels": Labels.of(row.labels),
        }
    )


def _named(ref: str | int) -> sa.ColumnElement[bool]:
    if isinstance(ref, int):
        return t.ticket.c.id == ref if 0 < ref < 2**63 else sa.false()
    if ref.isascii() and ref.isdigit():
        return t.ticket.c.number.like(f"CZ-____-{ref.lstrip('0').zfill(6)}") if len(ref) < 20 else sa.false()
    return t.ticket.c.number == ref.upper()


def _event(row: sa.Row[Any]) -> TicketEvent:
    return TicketEvent(**{**row._asdict(), "kind": EntryKind(row.kind)})
