"""What a fenced session, or a collector for it, still writes besides alerts: it changes no row (I10)."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import Store, collectors, hosts, presence
from collector.store import tables as t
from collector.store.gaps import count_lost
from tests.collector.town import age, enrol, opened

AT = 5000.0
Write = Callable[[Connection, int, float | None], object]  # of a session of this generation that saw this deadline
WRITES: dict[str, Write] = {
    "touch": lambda conn, gen, _: hosts.touch(conn, [("pc1", gen)], AT, deadline=AT + 1),
    "presence": lambda conn, gen, _: hosts.set_presence(conn, "pc1", gen, "offline", "x", AT, AT, collector="one"),
    "deadline": lambda conn, gen, seen: hosts.claim_deadline(conn, "pc1", gen, seen, AT),
    "conclusion": lambda conn, gen, seen: presence.claim(
        conn, [presence.Seen("pc1", gen, seen)], presence.Conclusion("offline", "x", AT, None)
    ),
    "boot": lambda conn, gen, _: presence.note_boots(conn, [presence.Boot("pc1", gen, "another", 5.0)]),
    "sleep": lambda conn, gen, _: presence.note_sleep(conn, {"pc1": (gen, 500.0)}),
    "loss": lambda conn, gen, _: count_lost(conn, "pc1", gen, "epoch", 5, AT),
}


def taken(conn: Connection) -> None:
    age(conn, "one", collectors.DEAD_AFTER + 1)
    assert [host.id for host in hosts.attend(conn, "two", collectors.beat(conn, "two"))] == ["pc1"]


FENCES: dict[str, Callable[[Connection], object]] = {
    "a session elsewhere": lambda conn: opened(conn, "pc1", "two"),
    "a session here": lambda conn: opened(conn, "pc1", "one"),
    "taken from the dead": taken,
    "retired": lambda conn: hosts.retire(conn, "pc1", AT),
    "revoked": lambda conn: hosts.revoke(conn, "pc1", AT),
}


@pytest.fixture
def gen(store: Store) -> int:
    with store.write() as conn:
        for name in ("one", "two"):
            collectors.register(conn, name, name)
        enrol(conn, "pc1", "pc1")
        gen = opened(conn, "pc1", "one")
        assert hosts.set_presence(conn, "pc1", gen, "online", "", 30.0, 90.0)
    return gen


def rows(store: Store) -> list[Any]:
    with store.read() as conn:
        return [*conn.execute(sa.select(t.host)), *conn.execute(sa.select(t.host_event))]


def done(store: Store, write: Write, gen: int) -> bool:
    """Whether it changed anything."""
    before = rows(store)
    with store.write() as conn:
        write(conn, gen, conn.scalar(sa.select(t.host.c.deadline)))
    return rows(store) != before


@pytest.mark.parametrize("write", WRITES)
def test_the_session_itself_writes(store: Store, gen: int, write: str) -> None:
    assert done(store, WRITES[write], gen)


@pytest.mark.parametrize("fence", FENCES)
@pytest.mark.parametrize("write", WRITES)
def test_i10_a_fenced_session_changes_no_row(store: Store, gen: int, write: str, fence: str) -> None:
    with store.write() as conn:
        FENCES[fence](conn)
    assert not done(store, WRITES[write], gen)
