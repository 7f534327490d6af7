"""Which computer an identity is bound to, and what becomes of a reinstalled one; on both databases."""

from typing import Any

import pytest
import sqlalchemy as sa

from collector.store import Store, hosts, machines, tables
from collector.store.enrollments import add_host, revoked_serials
from collector.store.hosts import Host


def enrolled(store: Store, name: str, board: str = "board-1", company: str = "acme", **changes: Any) -> Host:
    fields: dict[str, Any] = {
        "host_id": f"id-of-{name}", "company": company, "site": "W", "class_": "server", "name": name,
        "enrollment_id": f"e-{name}", "key_hash": f"k-{name}", "serial": f"s-{name}", "certificate_pem": "PEM",
        "not_after": 9e9, "at": 10.0, "machine_fingerprint": board,
    }  # fmt: skip
    with store.write() as conn:
        return add_host(conn, **{**fields, **changes})


def test_the_same_hardware_in_the_same_company_is_a_question(store: Store) -> None:
    old = enrolled(store, "pc1")
    new = enrolled(store, "pc2")
    assert (old.same_as, new.same_as) == (None, old.id)
    with store.read() as conn:
        asked = machines.questions(conn, hosts.hosts(conn, scope=None))
    assert {n: h.name for n, h in asked.items()} == {new.id: "pc1"}


def test_other_hardware_another_company_and_no_hardware_are_no_question(store: Store) -> None:
    with store.write() as conn:
        hosts.add_company(conn, "zeta", "Zeta", 1.0)
    enrolled(store, "pc1")
    assert enrolled(store, "pc2", "board-2").same_as is None
    assert enrolled(store, "pc3", company="zeta").same_as is None
    enrolled(store, "pc4", "")
    assert enrolled(store, "pc5", "").same_as is None


def test_a_retired_one_is_no_question(store: Store) -> None:
    old = enrolled(store, "pc1")
    new = enrolled(store, "pc2")
    with store.write() as conn:
        hosts.retire(conn, old.id, 20.0)
        assert machines.questions(conn, hosts.hosts(conn, scope=None)) == {}
        assert machines.is_same(conn, new.id, 21.0) is None
    assert enrolled(store, "pc3").same_as == new.id


def test_the_same_machine_takes_over_name_labels_tickets_and_timeline(store: Store) -> None:
    old = enrolled(store, "pc1")
    with store.write() as conn:
        event = hosts.add_host_event(conn, old.id, 11.0, "enrolled")
    new = enrolled(store, "pc1-new", site="elsewhere", class_="laptop", at=50.0)
    with store.write() as conn:
        now = machines.is_same(conn, new.id, 60.0)
        assert now is not None
        assert (now.id, now.name, now.instance, now.site, now.class_) == (new.id, "pc1", "pc1", "W", "server")
        assert (now.same_as, now.first_seen, now.retired_at) == (None, 10.0, None)
        assert [e.id for e in hosts.host_events(conn, new.id)] == [event]
        before = hosts.host(conn, old.id, None)
        assert before is not None
        assert (before.retired_at, before.instance) == (60.0, f"pc1~{old.id}")
        assert revoked_serials(conn) == {"s-pc1"}
        found = hosts.host_by_instance(conn, "pc1")
        assert found is not None
        assert found.id == new.id
        assert machines.is_same(conn, new.id, 61.0) is None


def test_no_means_two_computers_and_nobody_is_asked_again(store: Store) -> None:
    enrolled(store, "pc1")
    new = enrolled(store, "pc2")
    with store.write() as conn:
        assert machines.is_not_same(conn, new.id)
        assert not machines.is_not_same(conn, new.id)
        assert machines.is_same(conn, new.id, 60.0) is None


@pytest.mark.parametrize(
    ("bound", "shown", "foreign"),
    [("board-1", "board-1", False), ("board-1", "board-2", True), ("", "board-2", False), ("board-1", "", False)],
)
def test_an_identity_belongs_to_the_computer_it_is_bound_to(
    store: Store, bound: str, shown: str, foreign: bool
) -> None:
    host = enrolled(store, "pc1", bound)
    assert machines.foreign(host, shown) is foreign


def test_a_session_without_a_fingerprint_unbinds_nothing(store: Store) -> None:
    host = enrolled(store, "pc1")
    with store.write() as conn:
        hosts.open_session(conn, host.id, at=20.0, facts={}, version="1", fingerprint="")
        assert machines.foreign(hosts.locked(conn, {host.id})[host.id], "board-2")


def test_a_copy_is_told_once_and_forgotten_after_a_while(store: Store) -> None:
    host = enrolled(store, "pc1")
    with store.write() as conn:
        told = [machines.mark_duplicate(conn, host.id, at) for at in (100.0, 200.0, 1000.0, 2000.0)]
        assert told == [True, False, False, True]
        assert machines.duplicates(conn, 2800.0) == {host.id}
        assert machines.duplicates(conn, 2900.0) == frozenset()
        machines.mark_duplicate(conn, host.id, 3000.0)
        assert machines.rebind(conn, host.id)
        assert machines.duplicates(conn, 3001.0) == frozenset()
        assert not machines.foreign(hosts.locked(conn, {host.id})[host.id], "board-2")


def test_a_host_of_a_token_with_approval_waits(store: Store) -> None:
    host = enrolled(store, "pc1", approved=False)
    assert host.approved_at is None
    with store.write() as conn:
        assert machines.approve(conn, host.id, 30.0)
        assert not machines.approve(conn, host.id, 31.0)
        assert conn.scalar(sa.select(tables.host.c.approved_at)) == 30.0
