"""A commit whose outcome nobody knows, and workers that race: told again, it is the same; nothing is told twice."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from threading import Thread

import pytest
import sqlalchemy as sa

from collector.alerts.alert import AlertChanges, EventKind
from collector.intake import Intake
from collector.store import Store, StoreError, hosts, open_store, upgrade
from collector.store import tables as t
from tests.chaos.g5 import fired
from tests.chaos.postgres import Postgres
from tests.chaos.proxy import Proxy


@pytest.fixture
def proxied() -> Iterator[tuple[Proxy, Store]]:
    """A store that reaches its PostgreSQL through a proxy."""
    with Postgres() as cluster, Proxy(cluster.port) as proxy:
        upgrade(cluster.url())
        with closing(open_store(cluster.url(proxy.port))) as store:
            with store.write() as conn:
                hosts.add_company(conn, "test", "Test", 1.0)
            yield proxy, store


def until_told(intake: Intake, changes: AlertChanges) -> int:
    """As the engine does: again with the same changes until it is done; how often."""
    for times in range(1, 10):
        if told(intake, changes):
            return times
    raise AssertionError("never done")


def told(intake: Intake, changes: AlertChanges) -> bool:
    """Whether it was done, as far as anybody knows."""
    try:
        intake.alerts(changes, 2000.0)
    except StoreError as error:
        if error.retryable:
            return False
        raise
    return True


@pytest.mark.server("postgres")
def test_a_connection_cut_around_commit_leaves_one_ticket_and_one_event(proxied: tuple[Proxy, Store]) -> None:
    proxy, store = proxied
    intake = Intake(store)
    for warm in range(8):  # from then on statements are prepared: the bytes of a commit hardly change
        intake.alerts(fired(f"warm-{warm}", 1000.0), 2000.0)
    (connection,) = proxy.connections()
    before = proxy.passed(connection)
    intake.alerts(fired("measured", 1000.0), 2000.0)
    up, down = (after - was for after, was in zip(proxy.passed(connection), before, strict=True))
    cut = 0
    for number, back in enumerate((0, 4, 8, 12, 16, 24, 32, 48)):
        way = {"up": up - back} if number % 2 else {"down": down - back}
        proxy.cut(**way)
        changes = fired(f"cut-{number}", 1000.0)
        cut += not told(intake, changes)
        proxy.heal()
        until_told(intake, changes)
    assert cut >= 4
    with store.read() as conn:
        of_each = sa.select(t.ticket.c.dedup_key, sa.func.count()).group_by(t.ticket.c.dedup_key)
        assert [count for _, count in conn.execute(of_each)] == [1] * 17
        kinds = sa.select(t.ticket_event.c.kind, sa.func.count()).group_by(t.ticket_event.c.kind)
        assert [tuple(row) for row in conn.execute(kinds)] == [("opened", 17)]


@pytest.mark.parametrize("workers", [2])
def test_workers_of_two_machines_settle_each_ticket_once(database_url: str, workers: int) -> None:
    stores = [open_store(database_url) for _ in range(workers)]
    intake = Intake(stores[0])
    for number in range(30):
        begun = fired(f"key-{number}", 1000.0)
        intake.alerts(begun, 2000.0)
        (event,) = begun.events
        intake.alerts(AlertChanges((), (event.key,), (replace(event, kind=EventKind.RECOVERED, at=2010.0),)), 2010.0)
    closed: list[list[str]] = []
    threads = [Thread(target=lambda s=store: closed.append(Intake(s).settle(1e6))) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [number for each in closed for number in each]
    assert len(numbers) == len(set(numbers)) == 30
    with stores[0].read() as conn:
        assert conn.scalar(sa.select(sa.func.count()).where(t.ticket_event.c.kind == "closed")) == 30
    for store in stores:
        store.close()
