"""Tickets and their timelines written many at a time: a storm's commit takes no more statements than one ticket's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.dml import ReturningInsert

from collector.store import tables as t
from collector.store.bulk import Insert, insert_rows, update_rows
from collector.store.engine import finite, plain
from collector.store.errors import StoreError
from collector.store.upsert import insert
from collector.tickets import text
from collector.tickets.entry import Change, Entry
from collector.tickets.priority import Priority
from collector.tickets.ticket import Actor, NewTicket, Status

_WRITTEN = (
    "title",
    "description",
    "queue",
    "assignee_id",
    "first_reaction_at",
    "resolved_at",
    "closed_at",
    "recovered_at",
    "unknown_since",
    "occurrences",
    "episode",
    "resolution",
)


@dataclass(frozen=True, slots=True)
class Opening:
    """A ticket to open in a company (by id), and the entry its timeline begins with."""

    new: NewTicket
    company_id: int
    priority: Priority
    entry: Entry
    source: str
    source_key: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A change of a ticket by a source; `source_key` is unique in it and goes to the first entry."""

    change: Change
    source: str
    source_key: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of a ticket's timeline."""

    ticket_id: int
    entry: Entry
    source: str
    source_key: str | None = None


def open_tickets(
    conn: Connection, openings: Sequence[Opening], actor: Actor | None, at: float, *, year: int
) -> list[str]:
    """Open them with their first entries; their numbers. Raises StoreError(again) where one's key has an open one."""
    made = insert_tickets(conn, [(o.new, o.company_id, o.priority) for o in openings], at, year=year)
    if len(made) < len(openings):
        raise StoreError("somebody else opened a ticket for the same problem first", again=True)
    lines = [Line(i, o.entry, o.source, o.source_key) for (i, _), o in zip(made, openings, strict=True)]
    ids = add_lines(conn, lines, actor, at)
    last = [({"id": line.ticket_id}, {"last_event": i}) for line, i in zip(lines, ids, strict=True)]
    update_rows(conn, t.ticket, last)
    return [number for _, number in made]


def change_tickets(conn: Connection, told: Sequence[Told], actor: Actor | None, at: float) -> None:
    """Write changes of different tickets with their entries; raises StoreError(again) where one is not as before."""
    lines = [
        Line(one.change.before.id, entry, one.source, None if i else one.source_key)
        for one in told
        for i, entry in enumerate(one.change.entries)
    ]
    ids = add_lines(conn, lines, actor, at)
    last = {line.ticket_id: i for line, i in zip(lines, ids, strict=True)}
    update_tickets(conn, [one.change for one in told], at, last)


def insert_tickets(
    conn: Connection, made: Sequence[tuple[NewTicket, int, Priority]], at: float, *, year: int
) -> list[tuple[int, str]]:
    """Id and number of each new ticket of a company; none for one whose key has an open one. `year` is for numbers."""
    if not made:
        return []
    numbers = _next_numbers(conn, year, len(made))
    rows = [_row(*each, number, at) for each, number in zip(made, numbers, strict=True)]
    ids = {row.number: row.id for row in insert_rows(conn, t.ticket, rows, _opened)}
    return [(ids[number], number) for number in numbers if number in ids]


def update_tickets(conn: Connection, changes: Sequence[Change], at: float, last: Mapping[int, int]) -> None:
    """Write what differs; raises StoreError(again) where a row is not as `before` any more.

    `last` is each ticket's newest entry. One whose timeline tells nothing keeps its version and `updated_at`.
    """
    rows = [_changed(change, at, last.get(change.before.id)) for change in changes]
    for with_evidence in (False, True):
        some = [row for row in rows if ("evidence" in row[1]) is with_evidence]
        if update_rows(conn, t.ticket, some) != len(some):
            raise StoreError("a ticket was changed by somebody else meanwhile", again=True)


def add_lines(conn: Connection, lines: Sequence[Line], actor: Actor | None, at: float) -> list[int]:
    """Write entries in their order; their ids, growing."""
    rows = [
        {
            "ticket_id": one.ticket_id,
            "at": at,
            "kind": one.entry.kind.value,
            "actor": "" if actor is None else text.line(actor.name, text.NAME),
            "actor_id": None if actor is None else actor.id,
            "source": one.source,
            "source_event_key": one.source_key,
            "public": one.entry.public,
            "text": text.clean(one.entry.text),
            "data": plain(dict(one.entry.data)),
        }
        for one in lines
    ]
    return sorted(row.id for row in insert_rows(conn, t.ticket_event, rows, _entered))


def _opened(new: Insert) -> ReturningInsert[Any]:
    c, open_ = t.ticket.c, sa.text(t.ONE_OPEN)
    new = new.on_conflict_do_nothing(index_elements=["company_id", "dedup_key"], index_where=open_)
    return new.returning(c.id, c.number)


def _entered(new: Insert) -> ReturningInsert[Any]:
    return new.returning(t.ticket_event.c.id)


def _row(new: NewTicket, company_id: int, priority: Priority, number: str, at: float) -> dict[str, Any]:
    values = {
        "number": number,
        "company_id": company_id,
        "kind": new.kind.value,
        "source": new.source.value,
        "title": new.title,
        "description": new.description,
        "host_id": new.host_id,
        "host": new.host,
        "instance": new.instance,
        "requester": new.requester,
        "queue": new.queue,
        "impact": int(new.impact),
        "urgency": int(new.urgency),
        "priority": int(priority),
        "status": Status.NEW.value,
        "created_at": at,
        "updated_at": at,
        "occurrences": 1,
        "dedup_key": new.dedup_key,
        "episode": new.episode,
        "rule": new.rule,
        "rule_name": new.rule_name,
        "version": 1,
        "labels": plain(new.labels.as_dict()),
        "annotations": plain(dict(new.annotations)),
        "evidence": None if new.evidence is None else plain(dict(new.evidence)),
        "value": finite(new.value),
        "resolution": "",
        "last_event": 0,
    }
    return {**values, "search": _search(values)}


def _changed(change: Change, at: float, last: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
    before, after, tells = change.before, change.after, bool(change.entries)
    values: dict[str, Any] = {name: getattr(after, name) for name in _WRITTEN}
    values |= {
        "status": after.status.value,
        "impact": int(after.impact),
        "urgency": int(after.urgency),
        "priority": int(after.priority),
        "labels": plain(after.labels.as_dict()),
        "annotations": plain(dict(after.annotations)),
        "value": finite(after.value),
        "recovered_value": finite(after.recovered_value),
        "version": before.version + tells,
        "updated_at": max(at, before.updated_at) if tells else before.updated_at,
        "search": _search({name: getattr(after, name) for name in _SEARCHED}),
        "last_event": before.last_event if last is None else last,
    }
    if after.evidence is not before.evidence and after.evidence is not None:
        values["evidence"] = plain(dict(after.evidence))
    return {"id": before.id, "version": before.version}, values


_SEARCHED = ("number", "title", "description", "host", "requester", "rule_name", "instance", "annotations")


def _search(fields: Mapping[str, Any]) -> str:
    """What the search text looks at, casefolded here because SQLite folds only ASCII."""
    annotations = fields["annotations"]
    parts = [str(fields[n] or "") for n in _SEARCHED[:-1]]
    parts += [v for n, v in annotations.items() if n.startswith(("summary_", "description_"))]
    return text.clean(" ".join("\n".join(parts).casefold().split()), 20_000)


def _next_numbers(conn: Connection, year: int, count: int) -> list[str]:
    """Gaps are harmless: a number that a rolled-back transaction took is not used again on PostgreSQL."""
    if conn.dialect.name == "postgresql":
        each = sa.func.generate_series(1, count).table_valued("n")
        values = conn.scalars(sa.select(t.ticket_number.next_value()).select_from(each)).all()
    else:
        new = insert(conn, t.counter).values(name="ticket", value=count)
        more = {"value": t.counter.c.value + count}
        last = conn.scalar(new.on_conflict_do_update(index_elements=["name"], set_=more).returning(t.counter.c.value))
        values = range(int(last or 0) - count + 1, int(last or 0) + 1)
    return [f"CZ-{year:04d}-{value:06d}" for value in values]
