"""Conclusions about hosts are drawn once, whoever draws them, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import sqlalchemy as sa

from collector.store import Store, hosts, presence
from collector.store import tables as t
from collector.store.presence import Conclusion, Seen
from tests.collector.town import enrol, opened

AWAY = Conclusion("away_unexplained", "silent", 95.0, None)


@pytest.fixture
def seen(store: Store) -> list[Seen]:
    """Some hosts with a deadline each, one without."""
    with store.write() as conn:
        for number in range(5):
            enrol(conn, f"h{number}", f"srv-{number}")
            gen = opened(conn, f"h{number}", "c1")
            hosts.set_presence(conn, f"h{number}", gen, "online", "", 20.0, 100.0 + number if number else None)
    return [Seen(f"h{n}", 1, 100.0 + n if n else None) for n in range(5)]


def claimed(store: Store, seen: list[Seen]) -> frozenset[str]:
    with store.write() as conn:
        return presence.claim(conn, seen, AWAY)


def states(store: Store) -> dict[str, str]:
    with store.read() as conn:
        return {row.id: row.presence for row in conn.execute(sa.select(t.host.c.id, t.host.c.presence))}


def test_what_is_as_it_was_seen_is_claimed_and_written(store: Store, seen: list[Seen]) -> None:
    assert claimed(store, seen) == {"h0", "h1", "h2", "h3", "h4"}
    assert set(states(store).values()) == {"away_unexplained"}
    with store.read() as conn:
        host = hosts.host(conn, "h3", None)
    assert host is not None
    assert (host.presence_reason, host.presence_since, host.deadline) == ("silent", 95.0, None)


def test_a_new_session_another_deadline_and_a_retired_host_are_left_alone(store: Store, seen: list[Seen]) -> None:
    with store.write() as conn:
        opened(conn, "h1", "c2")
        assert hosts.claim_deadline(conn, "h2", 1, 102.0, 200.0)
        hosts.retire(conn, "h3", 50.0)
        assert hosts.claim_deadline(conn, "h0", 1, None, 300.0)
    assert claimed(store, seen) == {"h4"}
    assert states(store) == {
        "h0": "online",
        "h1": "online",
        "h2": "online",
        "h3": "retired",
        "h4": "away_unexplained",
    }


def test_nothing_and_nobody_are_not_claimed(store: Store, seen: list[Seen]) -> None:
    assert claimed(store, []) == claimed(store, [Seen("nobody", 1, None)]) == frozenset()
    assert set(states(store).values()) == {"online"}
    assert len(seen) == 5


def test_of_several_collectors_that_judge_at_once_one_draws_each_conclusion(store: Store, seen: list[Seen]) -> None:
    start = Barrier(4)

    def judge(_number: int) -> frozenset[str]:
        start.wait()
        return claimed(store, seen[1:])  # whose deadlines the first to claim takes away

    with ThreadPoolExecutor(4) as pool:
        won = [host for part in pool.map(judge, range(4)) for host in part]
    assert sorted(won) == ["h1", "h2", "h3", "h4"]
