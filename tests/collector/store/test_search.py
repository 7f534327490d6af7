import base64
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import BadCursor, Store, hosts, tables, tickets, users
from collector.store.hosts import Scope
from collector.store.search import Counts, Order, Page, counts, search
from collector.store.ticket_writes import Told
from collector.tickets.entry import Change, Entry, EntryKind
from collector.tickets.priority import Priority
from collector.tickets.query import View, parse
from collector.tickets.ticket import NewTicket, Status

ENDS = {Status.RESOLVED, Status.CLOSED}
DAY = 86_400.0


def put(
    conn: Connection,
    title: str,
    *,
    at: float = 0.0,
    level: Priority = Priority.P3,
    status: Status = Status.NEW,
    owner: int | None = None,
    recovered: float | None = None,
    unknown: float | None = None,
    company: str = "acme",
    host: str | None = None,
    queue: str = "helpdesk",
    description: str = "",
    rule: str = "",
) -> None:
    new = NewTicket(
        company, title, host=host, instance=host or "", queue=queue, description=description, rule_name=rule
    )
    made = tickets.insert_ticket(conn, new, level, at, year=2026)
    assert made is not None
    after = replace(
        made,
        status=status,
        assignee_id=owner,
        recovered_at=recovered,
        unknown_since=unknown,
        resolved_at=at if status in ENDS else None,
        closed_at=at if status is Status.CLOSED else None,
    )
    told = Told(Change(made, after, (Entry(EntryKind.STATUS),)), "user")
    tickets.change_ticket(conn, told, None, at)


@pytest.fixture
def anna(store: Store) -> int:
    """Id of Anna, in a store with tickets of every sort."""
    with store.write() as conn:
        hosts.add_company(conn, "beta", "Łódź sp. z o.o.", 1.0)
        user = users.add_user(conn, "anna", "Anna Żak", "h", at=1.0)
        put(conn, "Disk full", host="srv-db-02", level=Priority.P1, at=3 * DAY, rule="HostDiskFull")
        put(conn, "Zażółć gęślą", description="Nie działa 100%_", level=Priority.P2, at=1 * DAY, owner=user.id)
        put(conn, "Printer", status=Status.WAITING_PART, owner=user.id, at=2 * DAY, queue="Hardware")
        put(conn, "Mail", status=Status.IN_PROGRESS, level=Priority.P1, at=4 * DAY, company="beta")
        put(conn, "Old", status=Status.CLOSED, at=1.0)
        put(conn, "Fixed", status=Status.RESOLVED, at=2.0, owner=user.id)
        put(conn, "Healed", recovered=5.0, level=Priority.P4, at=5 * DAY)
        put(conn, "Silent", unknown=5.0, level=Priority.P4, at=4.5 * DAY, host="SRV-web")
    return user.id


def titles(store: Store, text: str = "", **more: object) -> list[str]:
    with store.read() as conn:
        page = search(conn, parse(text), more.pop("scope", None), at=5 * DAY, **more)  # type: ignore[arg-type]
    assert page.total == len(page.tickets)
    return [t.title for t in page.tickets]


def test_all_open_tickets_stand_by_priority_then_age(store: Store, anna: int) -> None:
    expected = ["Disk full", "Mail", "Zażółć gęślą", "Printer", "Silent", "Healed"]
    assert titles(store) == expected
    assert titles(store, order=Order.NEWEST) == ["Healed", "Silent", "Mail", "Disk full", "Printer", "Zażółć gęślą"]
    assert titles(store, order="oldest") == titles(store, order=Order.NEWEST)[::-1]
    del anna


def test_views(store: Store, anna: int) -> None:
    assert titles(store, view=View.MINE, user_id=anna) == ["Zażółć gęślą", "Printer"]
    assert titles(store, view="mine") == []
    assert titles(store, view=View.UNASSIGNED) == ["Disk full", "Mail", "Silent", "Healed"]
    assert titles(store, view=View.WAITING) == ["Printer"]
    assert titles(store, view=View.CLOSED) == ["Fixed", "Old"]
    assert len(titles(store, view=View.EVERY)) == 8
    assert titles(store, view=View.EVERY, order=Order.ENDED) == ["Fixed", "Old"]
    assert titles(store, view=View.EVERY, order=Order.UPDATED)[0] == "Healed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("disk", ["Disk full"]),
        ("DISK FULL", ["Disk full"]),
        ("ZAŻÓŁĆ", ["Zażółć gęślą"]),
        ('"nie działa"', ["Zażółć gęślą"]),
        ("100%_", ["Zażółć gęślą"]),
        ("disk -full", []),
        ("host:srv", ["Disk full", "Silent"]),
        ("host:SRV-DB", ["Disk full"]),
        ("-host:srv prio:p1", ["Mail"]),
        ("state:waiting", ["Printer"]),
        ("state:closed", ["Old"]),
        ("state:resolved,closed", ["Fixed", "Old"]),
        ("-state:new,waiting", ["Mail"]),
        ("state:recovered", ["Healed"]),
        ("state:nodata", ["Silent"]),
        ("state:open prio:1", ["Disk full", "Mail"]),
        ("prio:1,2 -state:in_progress", ["Disk full", "Zażółć gęślą"]),
        ("owner:me", ["Zażółć gęślą", "Printer"]),
        ("owner:none prio:1", ["Disk full", "Mail"]),
        ("owner:ŻAK prio:2", ["Zażółć gęślą"]),
        ("owner:nobody", []),
        ("-owner:anna prio:1", ["Disk full", "Mail"]),
        ("company:łódź", ["Mail"]),
        ("-company:acme", ["Mail"]),
        ("queue:hardware", ["Printer"]),
        ("rule:hostdisk", ["Disk full"]),
        ("rule:HostDiskFull,other prio:1", ["Disk full"]),
        ("rule:other", []),
        ("older:2d", ["Zażółć gęślą", "Printer"]),
        ("newer:1d", ["Silent", "Healed"]),
        ("number:1", ["Disk full"]),
        ("CZ-2026-5", ["Old"]),
        ("number:99", []),
    ],
)
def test_a_search_finds(store: Store, anna: int, text: str, expected: list[str]) -> None:
    found = titles(store, text, user_id=anna)
    assert sorted(found) == sorted(expected)


def test_another_companys_tickets_are_never_found(store: Store, anna: int) -> None:
    assert titles(store, scope=frozenset({"beta"})) == ["Mail"]
    assert titles(store, "company:acme", scope=frozenset({"beta"})) == []
    assert titles(store, "-company:beta", scope=frozenset({"beta"})) == []
    assert titles(store, scope=frozenset()) == []
    with store.read() as conn:
        assert counts(conn, frozenset({"beta"}), anna) == Counts(mine=0, unassigned=1, waiting=0, all=1)
        assert counts(conn, frozenset(), anna) == Counts(0, 0, 0, 0)
        assert counts(conn, None, anna) == Counts(mine=2, unassigned=4, waiting=1, all=6)
        assert counts(conn, None).mine == 0


@pytest.mark.parametrize(("order", "view"), [(o, View.EVERY) for o in Order] + [(None, View.ALL), (None, View.CLOSED)])
def test_pages_follow_each_other_without_gap_or_repetition(
    store: Store, anna: int, order: Order | None, view: View
) -> None:
    del anna
    with store.read() as conn:
        whole = search(conn, parse(""), None, at=0.0, view=view, order=order, limit=200)
        pieces: list[int] = []
        cursor = None
        while True:
            page: Page = search(conn, parse(""), None, at=0.0, view=view, order=order, limit=3, cursor=cursor)
            assert page.total == whole.total
            pieces += [t.id for t in page.tickets]
            if (cursor := page.next_cursor) is None:
                break
    assert pieces == [t.id for t in whole.tickets]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "x" * 10_000,
        "ł",
        base64.urlsafe_b64encode(b"[" * 5_000).decode(),
        base64.urlsafe_b64encode(b"{}").decode(),
        base64.urlsafe_b64encode(b"3").decode(),
        base64.urlsafe_b64encode(b"[]").decode(),
        *(
            base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
            for place in (
                ["newest", 1, 2],
                ["priority", 1, 2],
                ["priority", 1, 2, "x"],
                ["priority", 1, 2, None],
                ["priority", 1, 2, True],
                ["priority", float("nan"), 2, 3],
                ["priority", 10**400, 2, 3],
            )
        ),
    ],
)
def test_a_forged_cursor_is_refused(sqlite_store: Callable[[], Store], cursor: str) -> None:
    with sqlite_store().read() as conn, pytest.raises(BadCursor):
        search(conn, parse(""), None, at=0.0, cursor=cursor)


def test_a_page_takes_a_constant_number_of_queries(store: Store, anna: int) -> None:
    text = "disk owner:anna company:acme state:open prio:1 older:1m newer:9w"
    with store.read() as conn:
        seen: list[str] = []
        engine = conn.engine

        def note(_c: object, _cur: object, statement: str, *_rest: object) -> None:
            seen.extend([statement] if statement.startswith("SELECT") else [])

        sa.event.listen(engine, "before_cursor_execute", note)
        search(conn, parse(text), frozenset({"acme"}), at=0.0, user_id=anna)
        assert len(seen) == 5
        seen.clear()
        counts(conn, frozenset({"acme"}), anna)
        assert len(seen) == 2
        sa.event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    ("view", "index"),
    [
        (View.ALL, "ix_ticket_queue"),
        (View.UNASSIGNED, "ix_ticket_mine"),
        (View.WAITING, "ix_ticket_queue"),
        (View.MINE, "ix_ticket_mine"),
        (View.CLOSED, "ix_ticket_ended"),
        (View.EVERY, "ix_ticket_created"),
    ],
)
@pytest.mark.parametrize("paged", [False, True])
@pytest.mark.parametrize("scope", [None, frozenset({"acme"})])
def test_the_views_read_their_index_in_order(
    sqlite_store: Callable[[], Store], view: View, index: str, scope: Scope, *, paged: bool
) -> None:
    store = sqlite_store()
    with store.write() as conn:
        anna = users.add_user(conn, "anna", "Anna", "h", at=1.0).id
        for i in range(60):
            status = (Status.NEW, Status.WAITING_PART, Status.CLOSED)[i % 3]
            put(conn, f"t{i}", at=float(i), status=status, owner=anna if i % 2 else None)
    plans: list[str] = []
    with store.read() as conn:
        cursor = search(conn, parse(""), scope, at=0.0, view=view, user_id=anna, limit=2).next_cursor if paged else None

        def explain(_c: object, cur: object, statement: str, parameters: object, *_rest: object) -> None:
            if "ORDER BY" in statement:
                rows = cur.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[attr-defined]
                plans.append(" | ".join(row[3] for row in rows))

        sa.event.listen(conn.engine, "before_cursor_execute", explain)
        search(conn, parse(""), scope, at=0.0, view=view, user_id=anna, limit=2, cursor=cursor)
        sa.event.remove(conn.engine, "before_cursor_execute", explain)
    assert len(plans) == 1
    assert index in plans[0]
    assert "TEMP B-TREE" not in plans[0]


def test_lists_carry_no_evidence(store: Store) -> None:
    with store.write() as conn:
        new = NewTicket("acme", "x", evidence={"lines": []})
        made = tickets.insert_ticket(conn, new, Priority.P3, 1.0, year=2026)
        assert made is not None
        assert made.evidence == {"lines": []}
        assert search(conn, parse(""), None, at=1.0).tickets[0].evidence is None
        assert conn.scalar(sa.select(tables.ticket.c.evidence)) == {"lines": []}
