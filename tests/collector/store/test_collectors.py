from threading import Thread

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import Store, clock, collectors, hosts, leases
from collector.store import tables as t
from tests.collector.town import age, enrol, opened


def living(conn: Connection) -> set[str]:
    at = clock(conn)
    mine = t.collector.alias()
    return set(conn.scalars(sa.select(mine.c.id).where(collectors.alive(mine.c.id, at))))


def test_a_collector_lives_as_long_as_it_beats(store: Store) -> None:
    with store.write() as conn:
        collectors.register(conn, "c1", "one")
        assert living(conn) == {"c1"}
        age(conn, "c1", collectors.DEAD_AFTER + 1)
        assert living(conn) == set()
        collectors.beat(conn, "c1")
        assert living(conn) == {"c1"}
        collectors.stop(conn, "c1")
        assert living(conn) == set()
        (row,) = collectors.collectors(conn)
        assert row.stopped_at is not None


def test_a_start_under_the_same_name_ends_the_process_before_it(store: Store) -> None:
    with store.write() as conn:
        collectors.register(conn, "c1", "one")
        collectors.register(conn, "c2", "two")
        collectors.register(conn, "c3", "one")
        assert living(conn) == {"c2", "c3"}
        assert [c.name for c in collectors.others(conn, "c3", clock(conn))] == ["two"]


def test_what_was_only_thought_dead_comes_back_with_its_next_beat(store: Store) -> None:
    with store.write() as conn:
        collectors.register(conn, "c1", "one")
        collectors.register(conn, "c2", "one")
        collectors.beat(conn, "c1")
        assert living(conn) == {"c1", "c2"}


def test_a_beat_tells_which_rules_fail_until_the_next_one(store: Store) -> None:
    with store.write() as conn:
        collectors.register(conn, "c1", "one")
        assert [c.failing for c in collectors.collectors(conn)] == [frozenset()]
        failing = {("g", "A"), ("g", 'B "\u0142"')}
        at = collectors.beat(conn, "c1", failing)
        assert [c.failing for c in collectors.others(conn, "", at)] == [failing]
        assert collectors.others(conn, "c1", at) == []
        assert collectors.others(conn, "", at + collectors.DEAD_AFTER + 1) == []
        at = collectors.beat(conn, "c1")
        assert [c.failing for c in collectors.others(conn, "", at)] == [frozenset()]
        collectors.stop(conn, "c1")
        assert collectors.others(conn, "", clock(conn)) == []


def test_of_very_many_failing_rules_the_first_are_told(store: Store) -> None:
    with store.write() as conn:
        collectors.register(conn, "c1", "one")
        every = [("g", f"{number:04}") for number in range(collectors.MOST_FAILING + 1)]
        collectors.beat(conn, "c1", reversed(every))
        assert [c.failing for c in collectors.collectors(conn)] == [frozenset(every[:-1])]
        long = [("g", str(number) * (collectors.LONGEST_FAILING // 2)) for number in range(3)]
        collectors.beat(conn, "c1", long)
        assert [c.failing for c in collectors.collectors(conn)] == [frozenset(long[:1])]


def test_rows_of_processes_of_long_ago_are_cleared_away(store: Store) -> None:
    with store.write() as conn:
        collectors.register(conn, "c1", "one")
        age(conn, "c1", 31 * 86_400.0)
        collectors.register(conn, "c2", "two")
        assert [c.id for c in collectors.collectors(conn)] == ["c2"]


def test_a_lease_has_one_living_holder_and_each_new_one_a_higher_generation(store: Store) -> None:
    with store.write() as conn:
        for name in ("c1", "c2"):
            collectors.register(conn, name, name)
        assert leases.acquire(conn, "lead", "c1") == 1
        assert leases.acquire(conn, "lead", "c2") == 0
        assert leases.acquire(conn, "lead", "c1") == 1
        age(conn, "c1", collectors.DEAD_AFTER + 1)
        assert leases.acquire(conn, "lead", "c2") == 2
        assert not leases.holds(conn, "lead", "c1", 1)
        assert leases.holds(conn, "lead", "c2", 2)
        collectors.beat(conn, "c1")
        assert leases.acquire(conn, "lead", "c1") == 0
        assert leases.lease(conn, "lead") is not None
        assert leases.lease(conn, "other") is None


def test_a_lease_is_free_after_its_time_or_when_it_is_given_back(store: Store) -> None:
    with store.write() as conn:
        for name in ("c1", "c2"):
            collectors.register(conn, name, name)
        assert leases.acquire(conn, "lead", "c1", seconds=-1.0) == 1
        assert leases.acquire(conn, "lead", "c2") == 2
        leases.release(conn, "lead", "c1")
        assert leases.acquire(conn, "lead", "c1") == 0
        leases.release(conn, "lead", "c2")
        assert leases.acquire(conn, "lead", "c1") == 3


def test_racing_collectors_get_a_lease_once(store: Store) -> None:
    names = [f"c{i}" for i in range(4)]
    with store.write() as conn:
        for name in names:
            collectors.register(conn, name, name)
    got: list[int] = []

    def race(name: str) -> None:
        with store.write() as conn:
            got.append(leases.acquire(conn, "lead", name))

    threads = [Thread(target=race, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [0, 0, 0, 1]


def test_a_host_is_held_by_the_collector_of_its_newest_session(store: Store) -> None:
    with store.write() as conn:
        enrol(conn, "h1", "srv-1")
        assert opened(conn, "h1", "c1") == 1
        assert hosts.holders(conn) == {"srv-1": (1, "c1")}
        assert opened(conn, "h1", "c2") == 2
        assert hosts.fence(conn, ["srv-1", "nobody"]) == {"srv-1": (2, "c2")}
        assert hosts.holders(conn) == {"srv-1": (2, "c2")}
        assert not hosts.set_presence(conn, "h1", 2, "online", "", 20.0, None, collector="c1")
        assert hosts.set_presence(conn, "h1", 2, "online", "", 20.0, None, collector="c2")


def test_hosts_of_dead_collectors_and_of_none_are_unattended_and_taken_once(store: Store) -> None:
    with store.write() as conn:
        for name in ("c1", "c2", "c3"):
            collectors.register(conn, name, name)
        for i, holder in enumerate(("c1", "c2", None)):
            enrol(conn, f"h{i}", f"srv-{i}")
            if holder:
                opened(conn, f"h{i}", holder)
        age(conn, "c1", collectors.DEAD_AFTER + 1)
        at = clock(conn)
        assert [h.id for h in hosts.unattended(conn, at)] == ["h0", "h2"]
        taken = hosts.attend(conn, "c3", at)
        assert [(h.instance, h.session_gen, h.collector_id) for h in taken] == [("srv-0", 2, "c3"), ("srv-2", 0, "c3")]
        assert hosts.attend(conn, "c3", at) == []
        assert hosts.fence(conn, ["srv-0", "srv-1", "srv-2"]) == {
            "srv-0": (2, "c3"),
            "srv-1": (1, "c2"),
            "srv-2": (0, "c3"),
        }


def test_a_retired_host_is_nobodys(store: Store) -> None:
    with store.write() as conn:
        enrol(conn, "h1", "srv-1")
        hosts.retire(conn, "h1", 50.0)
        assert hosts.unattended(conn, clock(conn)) == []
        assert hosts.attend(conn, "c1", clock(conn)) == []
        assert hosts.holders(conn) == {}


@pytest.mark.parametrize(
    ("collector", "lead", "judged"),
    [("c1", False, ["h1"]), ("c2", True, ["h2", "h3"]), (None, False, ["h1", "h2", "h3"])],
)
def test_a_deadline_is_judged_by_the_holder_and_the_dead_ones_by_the_lead(
    store: Store, collector: str | None, lead: bool, judged: list[str]
) -> None:
    with store.write() as conn:
        for name in ("c1", "c2", "c3"):
            collectors.register(conn, name, name)
        for i, holder in ((1, "c1"), (2, "c2"), (3, "c3")):
            enrol(conn, f"h{i}", f"srv-{i}")
            gen = opened(conn, f"h{i}", holder)
            hosts.set_presence(conn, f"h{i}", gen, "online", "", 20.0, 100.0 + i)
        collectors.stop(conn, "c3")
        at = clock(conn)
        assert [h.id for h in hosts.overdue(conn, at, collector=collector, lead=lead)] == judged


def test_a_deadline_is_taken_once_and_only_as_it_was_seen(store: Store) -> None:
    with store.write() as conn:
        enrol(conn, "h1", "srv-1")
        gen = opened(conn, "h1", "c1")
        hosts.set_presence(conn, "h1", gen, "online", "", 20.0, 100.25)
        assert not hosts.claim_deadline(conn, "h1", gen, 100.0, None)
        assert not hosts.claim_deadline(conn, "h1", gen + 1, 100.25, None)
        assert hosts.claim_deadline(conn, "h1", gen, 100.25, None)
        assert not hosts.claim_deadline(conn, "h1", gen, 100.25, None)
        assert hosts.claim_deadline(conn, "h1", gen, None, 200.0)


def test_generations_are_compared_host_by_host(store: Store) -> None:
    with store.write() as conn:
        for number in (1, 2):
            enrol(conn, f"h{number}", f"srv-{number}")
            opened(conn, f"h{number}", "c1")
        opened(conn, "h2", "c2")
        assert hosts.current(conn, {"h1": 1, "h2": 1, "nobody": 1}) == {"h1"}
        assert hosts.current(conn, {}) == frozenset()
