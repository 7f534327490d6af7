from dataclasses import replace

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.alerts.alert import AlertChanges, AlertEvent, EventKind
from collector.intake import Intake
from collector.labels import Labels, dedup_key
from collector.store import Store, StoreError, hosts, tables, tickets
from collector.store.bulk import FEW, update_rows
from collector.store.ticket_writes import Told, change_tickets
from collector.tickets.entry import Change, Entry, EntryKind
from tests.collector.town import enrol

MANY = 3 * FEW


def fired(number: int, at: float) -> AlertEvent:
    labels = Labels.of(alertname="Disk", instance=f"srv-{number}")
    key = dedup_key("", "rules", labels)
    return AlertEvent(EventKind.FIRED, "rules", key, labels, {"summary": 'Żółć, {pełny} "dysk" \\ NULL'}, 1.5, at, at)


def told(store: Store, *events: AlertEvent) -> int:
    """How many statements one commit of these takes."""
    count = [0]

    def more(*_rest: object) -> None:
        count[0] += 1

    sa.event.listen(store._engine, "before_cursor_execute", more)
    Intake(store).alerts(AlertChanges((), (), events), events[0].at)
    sa.event.remove(store._engine, "before_cursor_execute", more)
    return count[0]


@pytest.mark.parametrize("count", [1, FEW, MANY])
def test_many_tickets_are_opened_changed_and_recovered_each_with_its_own_words(store: Store, count: int) -> None:
    told(store, *(fired(n, 100.0) for n in range(count)))
    again = [replace(fired(n, 200.0), value=float(n)) for n in range(count)]
    told(store, *again)
    told(store, *(replace(e, kind=EventKind.RECOVERED, at=300.0 + e.value) for e in again))
    with store.read() as conn:
        found = list(tickets.open_by_key(conn, (e.key for e in again)).values())
        timelines = [tickets.timeline(conn, ticket.id) for ticket in found]
    assert {(t.labels.get("instance"), t.value, t.recovered_at) for t in found} == {
        (f"srv-{n}", float(n), 300.0 + n) for n in range(count)
    }
    assert {t.number for t in found} == {f"CZ-1970-{n:06d}" for n in range(1, count + 1)}
    assert {t.title for t in found} == {'Żółć, {pełny} "dysk" \\ NULL'}
    for ticket, lines in zip(found, timelines, strict=True):
        assert [e.kind for e in lines] == [EntryKind.OPENED, EntryKind.FIRED_AGAIN, EntryKind.RECOVERED]
        assert ticket.last_event == lines[-1].id


def test_a_storm_takes_no_more_statements_than_one_alert(store: Store) -> None:
    told(store, fired(0, 100.0))
    for at in (100.0, 200.0):  # opened, then fired again
        alone = told(store, fired(1, at))
        assert told(store, *(fired(n, at) for n in range(2, 2 + MANY))) == alone


def test_a_storm_that_opens_no_ticket_is_on_each_hosts_page_once(store: Store) -> None:
    with store.write() as conn:
        for number in range(2 + MANY):
            enrol(conn, f"h{number}", f"srv-{number}")
    storm = [replace(fired(n, 100.0), labels=fired(n, 100.0).labels.with_({"ticket": "no"})) for n in range(2 + MANY)]
    told(store, storm[0])
    alone = told(store, storm[1])
    assert told(store, *storm[2:]) == alone
    told(store, *storm)
    with store.read() as conn:
        pages = [hosts.host_events(conn, f"h{number}") for number in range(2 + MANY)]
    assert [[(e.kind, e.at, e.detail["key"]) for e in page] for page in pages] == [
        [("condition", 100.0, event.key)] for event in storm
    ]


def test_one_ticket_that_is_not_as_it_was_keeps_all_from_being_written(store: Store) -> None:
    told(store, *(fired(n, 100.0) for n in range(MANY)))
    with store.read() as conn:
        before = list(tickets.open_by_key(conn, (fired(n, 100.0).key for n in range(MANY))).values())
    entry = (Entry(EntryKind.STATUS),)
    stale = replace(before[3], version=7)
    changes = [Change(t, replace(t, queue="network"), entry) for t in (*before[:3], stale, *before[4:])]
    with pytest.raises(StoreError) as error, store.write() as conn:
        change_tickets(conn, [Told(change, "user") for change in changes], None, 200.0)
    assert error.value.again
    with store.read() as conn:
        assert [tickets.find(conn, t.id, None) for t in before] == before


def test_every_row_gets_its_own_values_where_it_is_as_it_was(store: Store) -> None:
    def rows(conn: Connection) -> list[tuple[str, object]]:
        c = tables.setting.c
        return [(row.name, row.value) for row in conn.execute(sa.select(c.name, c.value).order_by(c.name))]

    with store.write() as conn:
        for name in ("a", "b", "c"):
            conn.execute(sa.insert(tables.setting).values(name=name, value={"is": name}, updated_at=1.0))
        was = [{"name": n, "updated_at": at} for n, at in (("a", 1.0), ("b", 9.0), ("c", 1.0))]
        new = [{"value": v} for v in ({"x": [1, None]}, {"y": 1}, "ż")]
        assert update_rows(conn, tables.setting, list(zip(was, new, strict=True))) == 2
        assert rows(conn) == [("a", {"x": [1, None]}), ("b", {"is": "b"}), ("c", "ż")]
        assert update_rows(conn, tables.setting, []) == 0
