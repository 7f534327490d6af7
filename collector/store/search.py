"""The queue: search with keyset pages, and the counts beside the views. A constant number of queries."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import tables as t
from collector.store.errors import BadCursor
from collector.store.hosts import Scope
from collector.store.tickets import in_companies, select_tickets, ticket_of
from collector.tickets.priority import Priority
from collector.tickets.query import Field, Query, Term, View, seconds
from collector.tickets.ticket import WAITING, Status, Ticket

MAX_LIMIT = 200


class Order(StrEnum):
    """How a list is sorted; each has an index."""

    PRIORITY = "priority"  # the most urgent first, then the oldest
    NEWEST = "newest"
    OLDEST = "oldest"
    UPDATED = "updated"  # the last changed first
    ENDED = "ended"  # the last resolved or closed first


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `total` counts every page."""

    tickets: tuple[Ticket, ...]
    next_cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers beside the views."""

    mine: int
    unassigned: int
    waiting: int
    all: int


_c = t.ticket.c
_IN_QUEUE = _c.resolved_at.is_(None)
_WAITING = _c.status.in_(sorted(s.value for s in WAITING))
_ORDERS: dict[Order, tuple[tuple[sa.Column[Any], bool], ...]] = {  # (column, descending)
    Order.PRIORITY: ((_c.priority, False), (_c.created_at, False), (_c.id, False)),
    Order.NEWEST: ((_c.created_at, True), (_c.id, True)),
    Order.OLDEST: ((_c.created_at, False), (_c.id, False)),
    Order.UPDATED: ((_c.updated_at, True), (_c.id, True)),
    Order.ENDED: ((_c.resolved_at, True), (_c.id, True)),
}


def search(
    conn: Connection,
    query: Query,
    scope: Scope,
    *,
    at: float,
    view: View | str = View.ALL,
    user_id: int | None = None,
    order: Order | str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page:
    """A page of tickets; `at` is what ages count from, `user_id` is who "mine" and "owner:me" are.

    The view of all open tickets gives way to a term that asks for a state or a number. Raises BadCursor.
    """
    view, limit = View(view), max(1, min(limit, MAX_LIMIT))
    sort = Order(order) if order else default_order(view)
    held = sa.and_(
        in_companies(conn, scope), _view(view, query, user_id), *(_term(conn, x, at, user_id) for x in query.terms)
    )
    if sort is Order.ENDED:
        held = sa.and_(held, _c.resolved_at.is_not(None))
    rows = conn.execute(_page(held, sort, cursor).limit(limit + 1)).all()
    total = sa.select(sa.func.count()).select_from(t.ticket).where(held)
    tickets = tuple(ticket_of(row) for row in rows[:limit])
    more = _cursor(sort, tickets[-1]) if len(rows) > limit else None
    return Page(tickets, more, int(conn.scalar(total) or 0))


def counts(conn: Connection, scope: Scope, user_id: int | None = None) -> Counts:
    """All numbers by one pass over the tickets that stand in the queue."""
    mine = sa.false() if user_id is None else _c.assignee_id == user_id
    marks = (mine, _c.assignee_id.is_(None), _WAITING, sa.true())
    sums = [sa.func.coalesce(sa.func.sum(sa.case((mark, 1), else_=0)), 0) for mark in marks]
    row = conn.execute(sa.select(*sums).select_from(t.ticket).where(_IN_QUEUE, in_companies(conn, scope))).one()
    return Counts(*(int(n) for n in row))


def default_order(view: View | str) -> Order:
    """How a view is sorted where nobody chose."""
    return {View.CLOSED: Order.ENDED, View.EVERY: Order.NEWEST}.get(View(view), Order.PRIORITY)


def _view(view: View, query: Query, user_id: int | None) -> sa.ColumnElement[bool]:
    match view:
        case View.MINE:
            return sa.and_(_IN_QUEUE, sa.false() if user_id is None else _c.assignee_id == user_id)
        case View.UNASSIGNED:
            return sa.and_(_IN_QUEUE, _c.assignee_id.is_(None))
        case View.WAITING:
            return sa.and_(_IN_QUEUE, _WAITING)
        case View.CLOSED:
            return _c.resolved_at.is_not(None)
        case View.ALL if not query.has(Field.STATE, Field.NUMBER):
            return _IN_QUEUE
        case _:
            return sa.true()


def _term(conn: Connection, term: Term, at: float, user_id: int | None) -> sa.ColumnElement[bool]:
    any_of = sa.or_(*(_condition(conn, term, value, at, user_id) for value in term.values))
    # A condition over an empty column is unknown, not false: negated it has to hold.
    return sa.not_(sa.func.coalesce(any_of, sa.false())) if term.negated else any_of


def _condition(conn: Connection, term: Term, value: str, at: float, user_id: int | None) -> sa.ColumnElement[bool]:
    makers: dict[Field, Callable[[], sa.ColumnElement[bool]]] = {
        Field.TEXT: lambda: _c.search.contains(" ".join(value.casefold().split()), autoescape=True),
        Field.HOST: lambda: sa.or_(_part(_c.host, value), _part(_c.instance, value)),
        Field.COMPANY: lambda: _c.company_id.in_(_matching(conn, t.company, ("slug", "name"), value)),
        Field.QUEUE: lambda: _part(_c.queue, value),
        Field.RULE: lambda: _part(_c.rule_name, value),
        Field.OWNER: lambda: _owner(conn, value, user_id),
        Field.STATE: lambda: _state(value),
        Field.PRIORITY: lambda: _c.priority == int(Priority[value]),
        Field.NUMBER: lambda: _number(value),
        Field.OLDER: lambda: _c.created_at < at - seconds(value),
        Field.NEWER: lambda: _c.created_at > at - seconds(value),
    }
    return makers[term.field]()


def _part(column: sa.Column[Any], value: str) -> sa.ColumnElement[bool]:
    return sa.func.lower(column).contains(value.lower(), autoescape=True)


def _number(value: str) -> sa.ColumnElement[bool]:
    return _c.number.like(f"CZ-____-{int(value):06d}") if value.isdigit() else _c.number == value


def _state(value: str) -> sa.ColumnElement[bool]:
    match value:
        case "open":
            return _IN_QUEUE
        case "waiting":
            return _WAITING
        case "recovered":
            return sa.and_(_IN_QUEUE, _c.recovered_at.is_not(None))
        case "nodata":
            return sa.and_(_IN_QUEUE, _c.unknown_since.is_not(None))
        case _:
            return _c.status == Status(value).value


def _owner(conn: Connection, value: str, user_id: int | None) -> sa.ColumnElement[bool]:
    if value.casefold() == "none":
        return _c.assignee_id.is_(None)
    if value.casefold() == "me":
        return sa.false() if user_id is None else _c.assignee_id == user_id
    return _c.assignee_id.in_(_matching(conn, t.user, ("login", "name"), value))


def _matching(conn: Connection, table: sa.Table, columns: Sequence[str], value: str) -> list[int]:
    """Ids of the few rows that contain the words; compared here, as SQLite knows no case beyond ASCII."""
    rows = conn.execute(sa.select(table.c.id, *(table.c[name] for name in columns)))
    return [row[0] for row in rows if any(value.casefold() in str(word).casefold() for word in row[1:])]


def _page(held: sa.ColumnElement[bool], sort: Order, cursor: str | None) -> sa.Select[Any]:
    columns = _ORDERS[sort]
    query = select_tickets().where(held).order_by(*(c.desc() if down else c.asc() for c, down in columns))
    if cursor is None:
        return query
    place = sa.tuple_(*(sa.literal(v, c.type) for (c, _), v in zip(columns, _place(cursor, sort), strict=True)))
    here = sa.tuple_(*(c for c, _ in columns))
    return query.where(here < place if columns[0][1] else here > place)


def _cursor(sort: Order, last: Ticket) -> str:
    place = [sort.value, *(getattr(last, c.name) for c, _ in _ORDERS[sort])]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _place(cursor: str, sort: Order) -> list[float]:
    try:
        kind, *place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise BadCursor("this page's cursor cannot be read; start again from the first page") from None
    right = all(type(v) in {int, float} and abs(v) < 2**53 for v in place)  # false for NaN
    if kind != sort.value or len(place) != len(_ORDERS[sort]) or not right:
        raise BadCursor("this page's cursor belongs to another list; start again from the first page")
    return [float(v) for v in place]
