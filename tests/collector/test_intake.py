from collections.abc import Callable
from dataclasses import replace
from math import nan

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.alerts.alert import AlertChanges, AlertState, EventKind, Evidence
from collector.intake import Actor, Conflict, Intake, Invalid, NotAllowed, NotFound, Policy
from collector.labels import Labels
from collector.store import Store, StoreError, alerts, enrollments, hosts, tables, tickets, users
from collector.tickets.action import Action, Assign, Comment, Move, Take
from collector.tickets.entry import EntryKind
from collector.tickets.ticket import NewTicket, Priority, Status
from tests.collector.firing import JAN, KEY, LABELS, alert, all_tickets, event, fire, kinds, tell


@pytest.fixture
def intake(store: Store) -> Intake:
    return Intake(store, Policy())


@pytest.fixture
def anna(store: Store) -> Actor:
    with store.write() as conn:
        return Actor(users.add_user(conn, "anna", "Anna", "h", at=1.0).id, "Anna")


def test_an_alert_that_fires_opens_one_ticket_and_is_stored_with_its_episode(store: Store, intake: Intake) -> None:
    stored = fire(intake, 100.0)
    assert [a.episode for a in stored] == [1]
    (ticket,) = all_tickets(store)
    assert (ticket.title, ticket.company, ticket.status, ticket.priority) == (
        "Disk is full",
        "acme",
        Status.NEW,
        Priority.P3,
    )
    assert (ticket.dedup_key, ticket.episode, ticket.created_at) == (KEY, 1, 100.0)
    assert ticket.number == "CZ-1970-000001"
    assert kinds(store) == [EntryKind.OPENED]
    with store.read() as conn:
        assert alerts.load_alerts(conn) == list(stored)


def test_evidence_lies_with_the_ticket(store: Store, intake: Intake) -> None:
    fired = replace(event(EventKind.FIRED, 1.0, started=1.0), evidence=Evidence("up == 0", 0.92, ">"), value=nan)
    intake.alerts(AlertChanges((alert(1.0),), (), (fired,)), 1.0)
    (ticket,) = all_tickets(store)
    assert ticket.evidence == {"expression": "up == 0", "threshold": 0.92, "comparison": ">", "series": "", "lines": []}
    assert ticket.value is None


def test_the_same_changes_told_twice_change_nothing_more(store: Store, intake: Intake) -> None:
    assert [a.episode for a in fire(intake, 100.0)] == [a.episode for a in fire(intake, 105.0, 100.0)] == [1]
    before = all_tickets(store)
    for kind in (EventKind.UNKNOWN, EventKind.KNOWN, EventKind.RECOVERED, EventKind.GONE):
        tell(intake, kind, 200.0, 100.0)
        after = all_tickets(store)
        tell(intake, kind, 201.0, 100.0)
        assert all_tickets(store) == after
    assert len(before) == 1


def test_no_changes_open_no_transaction() -> None:
    class Closed:
        pass

    assert Intake(Closed()).alerts(AlertChanges(), 1.0) == ()  # type: ignore[arg-type]


def test_a_pending_alert_is_a_row_and_no_ticket(store: Store, intake: Intake) -> None:
    pending = alert(1.0, state=AlertState.PENDING)
    assert intake.alerts(AlertChanges((pending,)), 1.0) == (pending,)
    with store.read() as conn:
        assert alerts.load_alerts(conn) == [pending]
    assert all_tickets(store) == []


def test_a_ticket_recovers_settles_and_comes_back_as_the_same(store: Store, intake: Intake) -> None:
    fire(intake, 100.0)
    tell(intake, EventKind.RECOVERED, 200.0, 100.0)
    (ticket,) = all_tickets(store)
    assert (ticket.recovered_at, ticket.recovered_value, ticket.status) == (200.0, 40.0, Status.NEW)
    with store.read() as conn:
        assert alerts.load_alerts(conn) == []
    assert intake.settle(499.0) == []
    assert intake.settle(500.0) == [ticket.number]
    assert intake.settle(501.0) == []
    assert [a.episode for a in fire(intake, 600.0)] == [2]
    (ticket,) = all_tickets(store)
    assert (ticket.status, ticket.occurrences, ticket.episode, ticket.recovered_at) == (Status.NEW, 2, 2, None)
    expected = [EntryKind.OPENED, EntryKind.RECOVERED, EntryKind.CLOSED, EntryKind.REOPENED]
    assert kinds(store) == expected


def test_after_the_window_it_is_a_new_ticket(store: Store, intake: Intake) -> None:
    fire(intake, 100.0)
    tell(intake, EventKind.GONE, 200.0, 100.0)
    fire(intake, 200.0 + 86_401.0)
    assert [(t.status, t.episode) for t in all_tickets(store)] == [(Status.CLOSED, 1), (Status.NEW, 2)]


def test_a_resolved_ticket_makes_room_after_the_window(store: Store, intake: Intake) -> None:
    fire(intake, 100.0)
    intake.act("1", [Move(Status.RESOLVED, "Cleaned")], JAN, 150.0)
    tell(intake, EventKind.RECOVERED, 200.0, 100.0)
    fire(intake, 150.0 + 86_401.0)
    first, second = all_tickets(store)
    assert (first.status, first.resolved_at, first.resolution) == (Status.CLOSED, 150.0, "Cleaned")
    assert (second.status, second.episode) == (Status.NEW, 2)


def test_a_ticket_a_person_took_is_only_marked(store: Store, intake: Intake, anna: Actor) -> None:
    fire(intake, 100.0)
    intake.act("1", [Take()], anna, 150.0)
    tell(intake, EventKind.RECOVERED, 200.0, 100.0)
    assert intake.settle(1e6) == []
    (ticket,) = all_tickets(store)
    assert (ticket.status, ticket.recovered_at) == (Status.IN_PROGRESS, 200.0)


def test_closing_while_it_fires_spends_the_episode(store: Store, intake: Intake, anna: Actor) -> None:
    fire(intake, 100.0)
    intake.act("1", [Move(Status.CLOSED)], anna, 150.0)
    fire(intake, 160.0, 100.0)
    for kind in (EventKind.CHANGED, EventKind.UNKNOWN, EventKind.KNOWN):
        tell(intake, kind, 170.0, 100.0)
    (ticket,) = all_tickets(store)
    assert ticket.status is Status.CLOSED
    tell(intake, EventKind.RECOVERED, 180.0, 100.0)
    fire(intake, 190.0)
    (ticket,) = all_tickets(store)
    assert (ticket.status, ticket.occurrences) == (Status.NEW, 2)


def test_no_data_is_told_since_when_the_alert_was_last_seen(store: Store, intake: Intake) -> None:
    fire(intake, 100.0)
    silent = replace(alert(100.0), unknown_since=170.0)
    intake.alerts(AlertChanges((silent,), (), (event(EventKind.UNKNOWN, 260.0, started=100.0),)), 260.0)
    (ticket,) = all_tickets(store)
    assert (ticket.unknown_since, ticket.status, ticket.recovered_at) == (170.0, Status.NEW, None)
    tell(intake, EventKind.KNOWN, 300.0, 100.0)
    assert all_tickets(store)[0].unknown_since is None


def test_an_event_of_an_older_episode_is_not_heard(store: Store, intake: Intake) -> None:
    fire(intake, 100.0)
    tell(intake, EventKind.RECOVERED, 150.0, 100.0)
    fire(intake, 200.0)
    tell(intake, EventKind.RECOVERED, 210.0, 100.0)
    assert all_tickets(store)[0].recovered_at is None


def test_the_words_follow_without_touching_the_version_and_severity_raises(store: Store, intake: Intake) -> None:
    fire(intake, 100.0)
    changed = replace(event(EventKind.CHANGED, 110.0, started=100.0), annotations={"summary": "Disk is 94 % full"})
    intake.alerts(AlertChanges((), (), (changed,)), 110.0)
    (ticket,) = all_tickets(store)
    assert (ticket.title, ticket.version) == ("Disk is 94 % full", 1)
    critical = replace(changed, labels=LABELS.with_({"severity": "critical"}), at=120.0)
    intake.alerts(AlertChanges((), (), (critical,)), 120.0)
    (ticket,) = all_tickets(store)
    assert (ticket.priority, ticket.version) == (Priority.P2, 2)
    assert kinds(store) == [EntryKind.OPENED, EntryKind.CHANGED, EntryKind.PRIORITY]


def test_the_company_is_the_labels_the_hosts_or_the_first(store: Store, intake: Intake) -> None:
    with store.write() as conn:
        hosts.add_company(conn, "beta", "Beta", 1.0)
        enrol(conn, "beta", "srv-b")
    cases = [
        (Labels.of(a="1", company="beta", instance="elsewhere"), "beta", None),
        (Labels.of(a="2", company="unknown", instance="srv-b"), "beta", "h1"),
        (Labels.of(a="3", instance="srv-b"), "beta", "h1"),
        (Labels.of(a="4", instance="nowhere"), "acme", None),
        (Labels.of(a="5", company="acme", instance="srv-b"), "acme", None),
    ]
    for labels, _, _ in cases:
        fire(intake, 100.0, labels=labels)
    assert [(t.company, t.host_id) for t in all_tickets(store)] == [(c, h) for _, c, h in cases]


def enrol(conn: Connection, company: str, name: str) -> None:
    enrollments.add_host(
        conn,
        host_id="h1",
        company=company,
        site="",
        class_="server",
        name=name,
        enrollment_id="e",
        key_hash="k",
        serial="s",
        certificate_pem="",
        not_after=9e9,
        at=1.0,
    )


def test_without_a_company_the_next_step_is_named(database_url: str, store: Store) -> None:
    del database_url
    with store.write() as conn:
        conn.execute(sa.delete(tables.company))
    with pytest.raises(StoreError, match="czuwak init"):
        fire(Intake(store), 1.0)


def test_one_evaluation_with_many_alerts_is_one_commit_and_one_queue_version(store: Store, intake: Intake) -> None:
    labels = [LABELS.with_({"instance": f"srv-{i}"}) for i in range(30)]
    changes = AlertChanges(
        tuple(alert(1.0, labels=x) for x in labels),
        (),
        tuple(event(EventKind.FIRED, 2.0, started=1.0, labels=x) for x in labels),
    )
    assert len(intake.alerts(changes, 2.0)) == 30
    assert len({t.number for t in all_tickets(store)}) == 30
    with store.read() as conn:
        assert tickets.queue_version(conn, None) == 1


def test_several_events_of_one_alert_are_heard_in_order(store: Store, intake: Intake) -> None:
    events = (
        event(EventKind.FIRED, 1.0, started=1.0),
        event(EventKind.UNKNOWN, 2.0, started=1.0),
        event(EventKind.KNOWN, 3.0, started=1.0),
        event(EventKind.RECOVERED, 4.0, started=1.0),
        event(EventKind.FIRED, 5.0, started=5.0),
        event(EventKind.GONE, 6.0, started=5.0),
        event(EventKind.FIRED, 7.0, started=7.0),
    )
    intake.alerts(AlertChanges((), (), events), 7.0)
    (ticket,) = all_tickets(store)
    assert (ticket.status, ticket.occurrences, ticket.episode) == (Status.NEW, 3, 3)
    assert len(kinds(store)) == 7


def test_a_person_opens_a_ticket_once_per_key(store: Store, intake: Intake, anna: Actor) -> None:
    new = NewTicket("acme", "No mail", requester="Jan")
    first = intake.open_by_person(new, anna, 1.0, idempotency_key="a")
    assert intake.open_by_person(new, anna, 2.0, idempotency_key="a") == first
    assert intake.open_by_person(new, anna, 2.0, idempotency_key="b").number != first.number
    assert intake.open_by_person(new, JAN, 2.0, idempotency_key="a").number != first.number
    assert (first.status, first.first_reaction_at, first.priority) == (Status.NEW, None, Priority.P3)
    with store.read() as conn:
        assert tickets.unread(conn, anna.id or 0, [first]) == frozenset()


def test_a_person_opens_tickets_for_their_companies_and_hosts_only(store: Store, intake: Intake, anna: Actor) -> None:
    with store.write() as conn:
        hosts.add_company(conn, "beta", "Beta", 1.0)
        enrol(conn, "beta", "srv-b")
    for new in (NewTicket("nobody", "x"), NewTicket("beta", "x"), NewTicket("acme", "x", host_id="h1")):
        with pytest.raises(Invalid):
            intake.open_by_person(new, anna, 1.0, scope=frozenset({"acme"}))
    made = intake.open_by_person(NewTicket("beta", "x", host_id="h1"), anna, 1.0)
    assert (made.host_id, made.host, made.instance) == ("h1", "srv-b", "srv-b")


def test_a_lost_update_is_a_conflict_that_names_the_current_version(store: Store, intake: Intake, anna: Actor) -> None:
    fire(intake, 1.0)
    taken = intake.act("CZ-1970-000001", [Take()], anna, 2.0, version=1)
    assert taken.version == 2
    with pytest.raises(Conflict) as error:
        intake.act("CZ-1970-000001", [Comment("x")], anna, 3.0, version=1)
    assert (error.value.number, error.value.version) == ("CZ-1970-000001", 2)
    assert all_tickets(store)[0] == taken
    assert intake.act("1", [Comment("x")], anna, 3.0, version=2).version == 3


def test_another_companys_ticket_is_not_found(intake: Intake, anna: Actor) -> None:
    fire(intake, 1.0)
    with pytest.raises(NotFound):
        intake.act("1", [Take()], anna, 2.0, scope=frozenset({"beta"}))
    with pytest.raises(NotFound):
        intake.act("99", [Take()], anna, 2.0)


def test_what_is_refused_changes_nothing(store: Store, intake: Intake, anna: Actor) -> None:
    fire(intake, 1.0)
    before = all_tickets(store)
    tries: list[list[Action]] = [[Comment("x"), Move(Status.NEW), Assign(999)], [Comment("x"), Assign(999)]]
    for actions in tries:
        with pytest.raises(NotAllowed):
            intake.act("1", actions, anna, 2.0)
    assert all_tickets(store) == before
    assert intake.act("1", [], anna, 2.0) == before[0]
    assert kinds(store) == [EntryKind.OPENED]


def test_assigning_names_the_person(intake: Intake, anna: Actor) -> None:
    fire(intake, 1.0)
    given = intake.act("1", [Assign(anna.id, "somebody else")], JAN, 2.0)
    assert (given.assignee_id, given.assignee) == (anna.id, "Anna")


def test_a_closed_ticket_is_not_reopened_beside_a_newer_one(store: Store, anna: Actor) -> None:
    intake = Intake(store, Policy(reopen_window=0.0))
    fire(intake, 1.0)
    tell(intake, EventKind.GONE, 2.0, 1.0)
    fire(intake, 10.0)
    with pytest.raises(NotAllowed, match="CZ-1970-000002 is open"):
        intake.act("CZ-1970-000001", [Move(Status.IN_PROGRESS)], anna, 11.0)
    intake.act("CZ-1970-000002", [Move(Status.CLOSED)], anna, 12.0)
    assert intake.act("CZ-1970-000001", [Move(Status.IN_PROGRESS)], anna, 13.0).status is Status.IN_PROGRESS


def test_every_change_moves_the_queues_version(store: Store, intake: Intake, anna: Actor) -> None:
    def version() -> int:
        with store.read() as conn:
            return tickets.queue_version(conn, frozenset({"acme"}))

    steps: list[Callable[[], object]] = [
        lambda: fire(intake, 1.0),
        lambda: intake.act("1", [Comment("x")], anna, 2.0),
        lambda: tell(intake, EventKind.RECOVERED, 3.0, 1.0),
        lambda: intake.open_by_person(NewTicket("acme", "x"), anna, 4.0),
    ]
    seen = [version()]
    for step in steps:
        step()
        seen.append(version())
    assert seen == [0, 1, 2, 3, 4]
    fire(intake, 5.0, 1.0)
    intake.act("1", [], anna, 5.0)
    assert version() == 4
