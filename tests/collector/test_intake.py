import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import nan

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, AlertState, EventKind, Evidence
from collector.intake import ATTEMPTS, Actor, Conflict, Intake, Invalid, NotAllowed, NotFound, Policy
from collector.labels import Labels, dedup_key
from collector.store import Store, StoreError, alerts, enrollments, hosts, tables, tickets, users
from collector.tickets.action import Action, Assign, Comment, Move, Take
from collector.tickets.entry import EntryKind
from collector.tickets.ticket import NewTicket, Priority, Status, Ticket

LABELS = Labels.of(alertname="DiskFull", instance="srv-1", company="acme", severity="warning")
KEY = dedup_key("acme", "rules", LABELS)
OTHER = LABELS.with_({"instance": "srv-2"})
JAN = Actor(None, "Jan")


def event(kind: EventKind, at: float, *, started: float, labels: Labels = LABELS, value: float = 93.0) -> AlertEvent:
    return AlertEvent(
        kind=kind,
        source="rules",
        key=dedup_key("acme", "rules", labels),
        labels=labels,
        annotations={"summary": "Disk is full"},
        value=value,
        at=at,
        started_at=started,
        rule="uid",
        rule_name="DiskFull",
    )


def alert(started: float, *, labels: Labels = LABELS, state: AlertState = AlertState.FIRING) -> Alert:
    return Alert(dedup_key("acme", "rules", labels), "uid", labels, state, started, started, 93.0)


def fire(intake: Intake, at: float, started: float | None = None, labels: Labels = LABELS) -> Sequence[Alert]:
    began = at if started is None else started
    fired = event(EventKind.FIRED, at, started=began, labels=labels)
    return intake.alerts(AlertChanges((alert(began, labels=labels),), (), (fired,)), at)


def tell(intake: Intake, kind: EventKind, at: float, started: float, labels: Labels = LABELS) -> None:
    over = kind in {EventKind.RECOVERED, EventKind.GONE}
    deletes = (dedup_key("acme", "rules", labels),) if over else ()
    intake.alerts(AlertChanges((), deletes, (event(kind, at, started=started, labels=labels, value=40.0),)), at)


def all_tickets(store: Store) -> list[Ticket]:
    with store.read() as conn:
        ids = conn.scalars(sa.select(tables.ticket.c.id).order_by(tables.ticket.c.id)).all()
        found = [tickets.find(conn, i, None) for i in ids]
    return [t for t in found if t]


def kinds(store: Store, ticket_id: int = 1) -> list[EntryKind]:
    with store.read() as conn:
        return [e.kind for e in tickets.timeline(conn, ticket_id)]


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


@pytest.mark.parametrize("statement", range(1, 14))
def test_a_crash_at_any_statement_leaves_nothing_and_the_retry_everything(
    sqlite_store: Callable[[], Store], statement: int
) -> None:
    store = sqlite_store()
    intake = Intake(store)
    fire(intake, 1.0, labels=OTHER)
    before = all_tickets(store)
    with breaking(store, statement) as broke:
        try:
            fire(intake, 100.0)
        except StoreError:
            assert all_tickets(store) == before
            with store.read() as conn:
                assert len(alerts.load_alerts(conn)) == 1
    fire(intake, 101.0, 100.0)
    assert [t.dedup_key for t in all_tickets(store)] == [dedup_key("acme", "rules", OTHER), KEY]
    assert kinds(store, 2) == [EntryKind.OPENED]
    assert broke() or statement > 10


@contextmanager
def breaking(store: Store, number: int) -> Iterator[Callable[[], bool]]:
    """The engine fails at one statement of the next transactions, as a lost server would; says if it did."""
    left = [number]

    def fail(_conn: Connection, *_rest: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise sa.exc.OperationalError("x", {}, OSError("the server is gone"))

    engine = store._engine
    sa.event.listen(engine, "before_cursor_execute", fail)
    yield lambda: left[0] <= 0
    sa.event.remove(engine, "before_cursor_execute", fail)


def test_a_lost_race_is_run_again_five_times_at_most(sqlite_store: Callable[[], Store]) -> None:
    class Losing:
        def __init__(self, store: Store, times: int) -> None:
            self.store, self.times, self.calls = store, times, 0

        @contextmanager
        def write(self) -> Iterator[Connection]:
            self.calls += 1
            if self.calls <= self.times:
                raise StoreError("lost", again=True)
            with self.store.write() as conn:
                yield conn

    store = Losing(sqlite_store(), ATTEMPTS - 1)
    fire(Intake(store), 1.0)  # type: ignore[arg-type]
    assert store.calls == ATTEMPTS
    store = Losing(sqlite_store(), ATTEMPTS)
    with pytest.raises(StoreError):
        fire(Intake(store), 1.0)  # type: ignore[arg-type]
    assert store.calls == ATTEMPTS


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


def test_four_collectors_firing_the_same_alerts_open_each_ticket_once(store: Store) -> None:
    labels = [LABELS.with_({"instance": f"srv-{i}"}) for i in range(200)]
    start = threading.Barrier(4)
    errors: list[BaseException] = []

    def work(number: int) -> None:
        intake = Intake(store)
        start.wait()
        mine = labels[number * 50 :] + labels[: number * 50]
        try:
            for i in range(0, 200, 10):
                fired = tuple(event(EventKind.FIRED, 2.0, started=1.0, labels=x) for x in mine[i : i + 10])
                changes = AlertChanges(tuple(alert(1.0, labels=x) for x in mine[i : i + 10]), (), fired)
                told = insist(partial(intake.alerts, changes, 2.0))
                assert [a.episode for a in told] == [1] * 10
        except BaseException as error:
            errors.append(error)
            raise

    run(*(lambda n=n: work(n) for n in range(4)))
    assert errors == []
    found = all_tickets(store)
    assert sorted(str(t.dedup_key) for t in found) == sorted(dedup_key("acme", "rules", x) for x in labels)
    assert {(t.occurrences, t.episode, t.version) for t in found} == {(1, 1, 1)}


def insist(call: Callable[[], Sequence[Alert]]) -> Sequence[Alert]:
    """As the rules' thread does: a lock that was not had in time is asked for again with the same changes."""
    for _ in range(5):
        try:
            return call()
        except StoreError as error:
            if not error.retryable:
                raise
    return call()


def test_a_person_closing_while_it_fires_again_leaves_one_consistent_ticket(store: Store, anna: Actor) -> None:
    intake = Intake(store)
    fire(intake, 1.0)
    results: list[object] = []

    def close() -> None:
        for i in range(20):
            try:
                results.append(intake.act("1", [Move(Status.CLOSED)], anna, 100.0 + i))
            except NotAllowed as error:
                results.append(error)

    def again() -> None:
        for i in range(20):
            fire(intake, 100.0 + i)

    run(close, again)
    assert len(results) == 20
    (ticket,) = all_tickets(store)
    assert (ticket.episode, ticket.occurrences) == (21, 21)
    assert (ticket.closed_at is None) == (ticket.status is not Status.CLOSED)


def run(*work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=w) for w in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
