from dataclasses import replace

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.alerts.alert import Alert, AlertState
from collector.labels import Labels
from collector.store import Store, StoreError, alerts, hosts, tables, tickets, users
from collector.store.ticket_writes import Told
from collector.tickets.entry import Change, Entry, EntryKind
from collector.tickets.priority import Priority
from collector.tickets.ticket import Actor, NewTicket, Status, Ticket


def opened(
    conn: Connection, title: str = "No mail", *, company: str = "acme", key: str | None = None, **more: object
) -> Ticket:
    new = NewTicket(company, title, dedup_key=key, **more)  # type: ignore[arg-type]
    made = tickets.insert_ticket(conn, new, Priority.P3, 100.0, year=2026)
    assert made is not None
    return made


def changed(conn: Connection, before: Ticket, after: Ticket, at: float) -> Ticket:
    """A change that the timeline tells."""
    return tickets.change_ticket(conn, Told(Change(before, after, (Entry(EntryKind.STATUS),)), "user"), None, at)


def enter(conn: Connection, made: Ticket, *entries: Entry, source: str, key: str | None = None) -> int:
    """Only entries; the last one's id."""
    told = Told(Change(made, made, entries), source, key)
    return tickets.change_ticket(conn, told, None, 5.0).last_event


def test_numbers_are_counted_over_the_years(store: Store) -> None:
    with store.write() as conn:
        first = tickets.insert_ticket(conn, NewTicket("acme", "a"), Priority.P3, 1.0, year=2026)
        second = tickets.insert_ticket(conn, NewTicket("acme", "b"), Priority.P3, 1.0, year=2027)
    assert [t.number for t in (first, second) if t] == ["CZ-2026-000001", "CZ-2027-000002"]


def test_a_ticket_is_found_by_number_digits_and_id_within_scope(store: Store) -> None:
    with store.write() as conn:
        made = opened(conn)
        for ref in (made.id, "CZ-2026-000001", "cz-2026-000001", "1", "000001"):
            assert tickets.find(conn, ref, frozenset({"acme"})) == made
            assert tickets.find(conn, ref, frozenset({"other"})) is None
            assert tickets.find(conn, ref, frozenset()) is None
        for ref in ("", "2", "1" * 10, "9" * 30, 2**70, -1, "CZ-2026-00000_", "%", "x" * 10_000, "²", "\0", "\ud800"):
            assert tickets.find(conn, ref, None) is None


def test_everything_about_a_ticket_comes_back(store: Store) -> None:
    labels = Labels.of(alertname="A", instance="srv")
    words = {"summary_pl": "Zażółć"}
    with store.write() as conn:
        new = NewTicket(
            "acme",
            "Disk",
            description="d\nd",
            host="srv",
            instance="srv",
            requester="Jan",
            queue="network",
            dedup_key="k",
            episode=3,
            rule="uid",
            rule_name="Disk",
            labels=labels,
            annotations=words,
            evidence={"lines": [{"values": [1.0, float("nan")]}]},
            value=float("inf"),
        )
        made = tickets.insert_ticket(conn, new, Priority.P1, 100.0, year=2026)
        assert made is not None
        found = tickets.find(conn, made.id, None)
    assert found == made
    assert (made.labels, made.annotations, made.value) == (labels, words, None)
    assert made.evidence == {"lines": [{"values": [1.0, None]}]}
    assert (made.company_name, made.queue, made.requester, made.episode) == ("Acme", "network", "Jan", 3)
    assert made.title_for("pl") == "Zażółć"


def test_a_second_open_ticket_of_a_key_is_not_made(store: Store) -> None:
    with store.write() as conn:
        first = opened(conn, key="k", episode=1)
        assert (
            tickets.insert_ticket(conn, NewTicket("acme", "x", dedup_key="k", episode=2), Priority.P1, 1.0, year=2026)
            is None
        )
        closed = replace(first, status=Status.CLOSED, closed_at=200.0, resolved_at=200.0)
        changed(conn, first, closed, 200.0)
        second = opened(conn, key="k", episode=2)
        assert tickets.open_by_key(conn, ["k", "other"]) == {"k": second}
        assert tickets.by_key(conn, ["k", "other"]) == ({"k": second}, {"k": tickets.find(conn, first.id, None)})


def test_one_episode_has_one_ticket_for_ever(store: Store) -> None:
    with store.write() as conn:
        first = opened(conn, key="k", episode=1)
        closed = replace(first, status=Status.CLOSED, closed_at=200.0, resolved_at=200.0)
        changed(conn, first, closed, 200.0)
    with pytest.raises(StoreError) as error, store.write() as conn:
        opened(conn, key="k", episode=1)
    assert error.value.again


def test_two_companies_may_have_the_same_key(store: Store) -> None:
    with store.write() as conn:
        hosts.add_company(conn, "beta", "Beta", 1.0)
        opened(conn, key="k")
        opened(conn, key="k", company="beta")


def test_a_stale_ticket_is_not_written(store: Store) -> None:
    with store.write() as conn:
        made = opened(conn)
        newer = changed(conn, made, replace(made, queue="network"), 200.0)
        assert (newer.version, newer.updated_at, newer.queue) == (2, 200.0, "network")
    with pytest.raises(StoreError) as error, store.write() as conn:
        changed(conn, made, replace(made, queue="hardware"), 300.0)
    assert error.value.again


def test_new_words_alone_move_no_version(store: Store) -> None:
    with store.write() as conn:
        made = opened(conn)
        after = tickets.change_ticket(conn, Told(Change(made, replace(made, title="Other")), "rules"), None, 300.0)
    assert (after.title, after.version, after.updated_at) == ("Other", 1, 100.0)


def test_a_timeline_keeps_order_words_and_data(store: Store) -> None:
    with store.write() as conn:
        anna = users.add_user(conn, "anna", "Anna", "h", at=1.0)
        made = opened(conn)
        entries = (
            Entry(EntryKind.COMMENT, "re\0ply", public=True),
            Entry(EntryKind.NOTE, "note", data={"x": float("nan")}),
        )
        actor = Actor(anna.id, "Anna")
        last = tickets.change_ticket(conn, Told(Change(made, made, entries), "user", "m1"), actor, 5.0).last_event
        lines = tickets.timeline(conn, made.id)
        assert [(e.kind, e.text, e.actor, e.actor_id, e.public, e.source_event_key) for e in lines] == [
            (EntryKind.COMMENT, "reply", "Anna", anna.id, True, "m1"),
            (EntryKind.NOTE, "note", "Anna", anna.id, False, None),
        ]
        assert lines[1].data == {"x": None}
        assert lines[-1].id == last
        assert [e.kind for e in tickets.timeline(conn, made.id, public_only=True)] == [EntryKind.COMMENT]
        found = tickets.find(conn, made.id, None)
        assert found is not None
        assert found.last_event == last


def test_a_source_tells_an_event_once(store: Store) -> None:
    with store.write() as conn:
        made, other = opened(conn), opened(conn)
        enter(conn, made, Entry(EntryKind.OPENED), source="rules", key="x")
        enter(conn, other, Entry(EntryKind.OPENED), source="mail", key="x")
    with pytest.raises(StoreError) as error, store.write() as conn:
        enter(conn, opened(conn), Entry(EntryKind.OPENED), source="rules", key="x")
    assert error.value.again


def test_what_a_user_has_not_seen_is_unread(store: Store) -> None:
    with store.write() as conn:
        anna = users.add_user(conn, "anna", "Anna", "h", at=1.0)
        made = opened(conn)
        last = enter(conn, made, Entry(EntryKind.OPENED), source="system")
        seen = replace(made, last_event=last)
        assert tickets.unread(conn, anna.id, [seen]) == {made.id}
        tickets.mark_read(conn, anna.id, made.id, last)
        tickets.mark_read(conn, anna.id, made.id, last - 1)
        assert tickets.unread(conn, anna.id, [seen]) == frozenset()
        assert tickets.unread(conn, anna.id, [replace(seen, last_event=last + 1)]) == {made.id}
        assert tickets.unread(conn, anna.id, []) == frozenset()


def test_the_queues_version_moves_for_its_companies_only(store: Store) -> None:
    with store.write() as conn:
        hosts.add_company(conn, "beta", "Beta", 1.0)
        tickets.touch_queue(conn, ["beta", "beta"])
        assert [
            tickets.queue_version(conn, s) for s in (None, frozenset({"acme"}), frozenset({"beta"}), frozenset())
        ] == [1, 0, 1, 0]


def test_earlier_tickets_come_likest_first_with_their_resolution(store: Store) -> None:
    with store.write() as conn:
        hosts.add_company(conn, "beta", "Beta", 1.0)
        same = opened(conn, "same problem", key="k", episode=1, rule_name="Disk")
        done = replace(same, status=Status.CLOSED, closed_at=150.0, resolved_at=150.0, resolution="Cleaned")
        changed(conn, same, done, 150.0)
        opened(conn, "same rule", key="k2", rule_name="Disk")
        opened(conn, "other rule", key="k3", rule_name="Cpu")
        opened(conn, "other company", key="k4", rule_name="Disk", company="beta")
        now = opened(conn, "now", key="k", episode=2, rule_name="Disk")
        found = tickets.related(conn, now)
        assert [(t.title, t.resolution) for t in found] == [("same problem", "Cleaned"), ("same rule", "")]
        assert tickets.related(conn, opened(conn, "by a person")) == []


def test_open_tickets_are_counted_per_host(store: Store) -> None:
    with store.write() as conn:
        conn.execute(
            sa.insert(tables.host).values(
                id="h1",
                company_id=1,
                site="",
                name="srv",
                instance="srv",
                presence="online",
                presence_reason="",
                presence_since=1.0,
                session_gen=0,
                agent_version="",
                facts={},
                first_seen=1.0,
                machine_fingerprint="",
                **{"class": "server"},
            )
        )
        opened(conn, host_id="h1")
        opened(conn, host_id="h1")
        opened(conn)
        assert tickets.open_by_host(conn, None) == {"h1": 2}
        assert tickets.open_by_host(conn, frozenset({"beta"})) == {}


def test_alerts_are_rows_that_come_back(store: Store) -> None:
    labels = Labels.of(alertname="A", instance="srv")
    alert = Alert("k", "uid", labels, AlertState.FIRING, 1.0, 2.0, 3.5, {"summary": "ł"}, 2.0, None, 4.0, 7)
    pending = Alert("j", "uid", labels, AlertState.PENDING, 1.0, 2.0, float("inf"))
    with store.write() as conn:
        alerts.write_alerts(conn, [alert, pending])
        alerts.write_alerts(conn, [replace(alert, last_true=9.0)])
        alerts.write_alerts(conn, [])
        found = {a.key: a for a in alerts.load_alerts(conn)}
        assert found["k"] == replace(alert, last_true=9.0)
        assert found["j"].value != found["j"].value
        alerts.delete_alerts(conn, ["k", "nobody"])
        assert [a.key for a in alerts.load_alerts(conn)] == ["j"]


def test_a_key_that_begins_at_another_time_begins_an_episode_as_it_is_locked(store: Store) -> None:
    with store.write() as conn:
        for since, number in ((5.0, 1), (5.0, 1), (7.0, 2), (6.0, 3)):
            both = alerts.lock_episodes(conn, {"j": 1, "k": 1}, {"k": since})
            assert (both["k"].number, both["k"].started_at) == (number, since)
            assert (both["j"].number, both["j"].started_at) == (0, None)
        assert alerts.lock_episodes(conn, {"k": 1})["k"] == alerts.Episode("k", 1, 3, 6.0)


def test_an_episode_is_counted_by_the_database_and_stays_with_its_company(store: Store) -> None:
    with store.write() as conn:
        beta = hosts.add_company(conn, "beta", "Beta", 1.0)
        first = alerts.lock_episodes(conn, {"k": 1})["k"]
        assert (first.number, first.started_at, first.company_id) == (0, None, 1)
        alerts.next_episode(conn, first, 10.0)
        again = alerts.lock_episodes(conn, {"k": beta.id})["k"]
        assert (again.number, again.started_at, again.company_id) == (1, 10.0, 1)
        assert alerts.lock_episodes(conn, {}) == {}


def test_many_keys_are_read_in_few_statements(store: Store) -> None:
    with store.write() as conn:
        assert len(alerts.lock_episodes(conn, {f"k{i}": 1 for i in range(1234)})) == 1234
        assert tickets.open_by_key(conn, [f"k{i}" for i in range(1234)]) == {}
