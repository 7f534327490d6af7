"""Transactions that lose: to a crash, to each other, to a deadlock that PostgreSQL ends, to one request sent twice."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.alerts.alert import Alert, AlertChanges, EventKind
from collector.intake import ATTEMPTS, Actor, Intake, NotAllowed
from collector.labels import dedup_key
from collector.store import (
    Store,
    StoreError,
    alerts,
    clock,
    open_store,
    tables,
    tickets,
    upgrade,
    users,
)
from collector.store.hosts import add_company
from collector.tickets.action import Comment, Move
from collector.tickets.entry import EntryKind
from collector.tickets.ticket import NewTicket, Status
from tests.collector.conftest import Postgres
from tests.collector.firing import JAN, KEY, LABELS, OTHER, alert, all_tickets, event, fire, kinds


@pytest.fixture
def raced(postgres: Postgres) -> Iterator[Store]:
    """A database of its own, whose server looks for deadlocks late enough for the other side to join in."""
    url = postgres.create()
    upgrade(url)
    store = open_store(url)
    with store.write() as conn:
        add_company(conn, "acme", "Acme", 1.0)
        name = conn.scalar(sa.text("SELECT current_database()"))
        conn.execute(sa.text(f"ALTER DATABASE \"{name}\" SET deadlock_timeout = '3s'"))
    store.close()
    opened = open_store(url)
    yield opened
    opened.close()


@contextmanager
def waiting(store: Store, work: Callable[[], object]) -> Iterator[Callable[[], object]]:
    """Runs `work` in a thread and goes on once it waits for a lock of ours; the function gives its result."""
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(work)
        deadline = time.monotonic() + 30
        blocked = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        while time.monotonic() < deadline:
            with store.read() as conn:
                if conn.scalar(blocked) or job.done():
                    break
        assert not job.done(), "it did not wait"
        yield job.result


def again(caplog: pytest.LogCaptureFixture) -> int:
    return sum(getattr(record, "action", "") == "intake.again" for record in caplog.records)


@pytest.mark.server("postgres")
def test_a_transaction_that_a_deadlock_ended_is_run_again(raced: Store, caplog: pytest.LogCaptureFixture) -> None:
    intake = Intake(raced)
    made = intake.open_by_person(NewTicket("acme", "No mail"), JAN, 1.0)
    caplog.set_level(logging.INFO, "collector")

    def comment() -> object:
        return intake.act(made.number, [Comment("hello")], JAN, 2.0)

    with raced.write() as conn:
        conn.execute(sa.text("SET LOCAL deadlock_timeout = '60s'"))  # so it is the other that is chosen
        tickets.touch_queue(conn, ("acme",))  # what it wants last, having the ticket already
        with waiting(raced, comment) as result:
            lock(conn, made.id)
            conn.commit()
            result()
    assert again(caplog) >= 1  # more where it takes the ticket again before the other wakes
    with raced.read() as conn:
        assert [e.kind for e in tickets.timeline(conn, made.id)] == [EntryKind.OPENED, EntryKind.NOTE]
        assert tickets.queue_version(conn, None) == 3


def lock(conn: Connection, ticket: int) -> None:
    conn.execute(sa.select(tables.ticket.c.id).where(tables.ticket.c.id == ticket).with_for_update())


@pytest.mark.server("postgres")
def test_the_second_of_two_that_send_one_request_gets_the_firsts_ticket(
    raced: Store, caplog: pytest.LogCaptureFixture
) -> None:
    intake = Intake(raced)
    first = intake.open_by_person(NewTicket("acme", "No mail"), JAN, 1.0)
    caplog.set_level(logging.INFO, "collector")

    def repeat() -> object:
        return intake.open_by_person(NewTicket("acme", "No mail"), JAN, 2.0, idempotency_key="k").number

    with raced.write() as conn:
        tickets.keep_request(conn, "user:Jan", "k", first.id, clock(conn))
        with waiting(raced, repeat) as result:
            conn.commit()
            assert result() == first.number
    assert again(caplog) == 1
    with raced.read() as conn:
        assert conn.scalar(sa.select(sa.func.count()).select_from(tables.ticket)) == 1


@pytest.fixture
def anna(store: Store) -> Actor:
    with store.write() as conn:
        return Actor(users.add_user(conn, "anna", "Anna", "h", at=1.0).id, "Anna")


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
