from dataclasses import replace

import pytest
from sqlalchemy.engine import Connection

from collector.store import Store, hosts
from collector.store.enrollments import add_host
from collector.store.gaps import Missed, add_missed, count_lost

MISSED = Missed("srv-1", "DiskFull", "key", 1000.0, 1600.0, 97.0, "full", "pełny")


def enrol(conn: Connection) -> int:
    add_host(
        conn,
        host_id="h1",
        company="acme",
        site="waw",
        class_="server",
        name="srv-1",
        enrollment_id="e",
        key_hash="key",
        serial="serial",
        certificate_pem="PEM",
        not_after=9e9,
        at=10.0,
    )
    return hosts.open_session(conn, "h1", at=11.0, facts={}, version="1", fingerprint="f")


def lost(conn: Connection) -> int:
    host = hosts.host(conn, "h1", None)
    assert host is not None
    return host.lost


def told(conn: Connection, kind: str) -> list[hosts.HostEvent]:
    return [event for event in hosts.host_events(conn, "h1") if event.kind == kind]


def test_each_lost_batch_counts_once_however_often_it_is_told(store: Store) -> None:
    with store.write() as conn:
        gen = enrol(conn)
        assert [count_lost(conn, "h1", gen, "e1", total, 100.0) for total in (3, 3, 2, 5)] == [3, 0, 0, 2]
        assert lost(conn) == 5


def test_a_new_epoch_counts_from_nothing(store: Store) -> None:
    with store.write() as conn:
        gen = enrol(conn)
        count_lost(conn, "h1", gen, "e1", 5, 100.0)
        assert count_lost(conn, "h1", gen, "e2", 2, 101.0) == 2
        assert lost(conn) == 7


def test_a_fenced_session_counts_nothing(store: Store) -> None:
    with store.write() as conn:
        gen = enrol(conn)
        assert count_lost(conn, "h1", gen - 1, "e1", 5, 100.0) == 0
        assert lost(conn) == 0


def test_losses_of_an_hour_are_one_line_of_the_timeline(store: Store) -> None:
    with store.write() as conn:
        gen = enrol(conn)
        for total, at in ((1, 100.0), (4, 3000.0), (9, 7000.0)):
            count_lost(conn, "h1", gen, "e1", total, at)
        assert [(event.at, event.detail["count"]) for event in told(conn, "batches_lost")] == [(7000.0, 5), (100.0, 4)]


def test_an_incident_nobody_saw_is_a_line_of_the_timeline(store: Store) -> None:
    with store.write() as conn:
        enrol(conn)
        assert add_missed(conn, MISSED)
        (event,) = told(conn, "missed_incident")
        assert (event.at, event.detail["rule"], event.detail["from"], event.detail["to"]) == (
            1600.0,
            "DiskFull",
            1000.0,
            1600.0,
        )


@pytest.mark.parametrize(
    ("again", "new"),
    [
        (MISSED, False),
        (replace(MISSED, start=1015.0, end=1585.0), False),
        (replace(MISSED, start=2000.0, end=2600.0), True),
        (replace(MISSED, key="another"), True),
        (replace(MISSED, instance="nobody"), False),
    ],
)
def test_a_replay_that_is_told_again_adds_no_line(store: Store, again: Missed, new: bool) -> None:
    with store.write() as conn:
        enrol(conn)
        add_missed(conn, MISSED)
        assert add_missed(conn, again) is new
        assert len(told(conn, "missed_incident")) == 1 + new
