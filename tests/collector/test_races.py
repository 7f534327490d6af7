"""Transactions that really lose: a deadlock that PostgreSQL ends, and a row that two insert at once."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.intake import Actor, Intake
from collector.store import Store, clock, open_store, tables, tickets, upgrade
from collector.store.hosts import add_company
from collector.tickets.action import Comment
from collector.tickets.entry import EntryKind
from collector.tickets.ticket import NewTicket
from tests.collector.conftest import Postgres

pytestmark = pytest.mark.server("postgres")
JAN = Actor(None, "Jan")


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
