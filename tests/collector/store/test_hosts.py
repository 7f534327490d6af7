import pytest
from sqlalchemy.engine import Connection

from collector.store import Store, StoreError, TokenRefused, hosts
from collector.store.bulk import FEW
from collector.store.enrollments import (
    add_certificate,
    find_enrollment,
    revoke_certificate,
    revoked_serials,
)
from collector.store.hosts import Host
from tests.collector import town


def enrol(conn: Connection, host_id: str = "h1", name: str = "srv-1", company: str = "acme") -> Host:
    return town.enrol(conn, host_id, name, company=company, site="Wrocław")


def test_companies_are_added_once_and_scoped(store: Store) -> None:
    with store.write() as conn:
        beta = hosts.add_company(conn, "beta", "Beta", 2.0)
        assert hosts.add_company(conn, "beta", "Other name", 3.0) == beta
        assert [c.slug for c in hosts.companies(conn)] == ["acme", "beta"]
        assert [c.slug for c in hosts.companies(conn, frozenset({"beta"}))] == ["beta"]
        assert hosts.companies(conn, frozenset()) == []
        assert hosts.company_by_slug(conn, "nobody") is None


@pytest.mark.parametrize("slug", ["", "Acme", "a b", "-a", "ł", "a" * 64, "a\n", "a\0"])
def test_a_company_needs_a_plain_slug(store: Store, slug: str) -> None:
    with pytest.raises(StoreError, match="small letters"), store.write() as conn:
        hosts.add_company(conn, slug, "X", 1.0)


def test_hostile_words_find_nothing(store: Store) -> None:
    with store.read() as conn:
        for words in ("\0", "\ud800", "x" * 100_000, "'; --"):
            assert hosts.host(conn, words, None) is None
            assert hosts.host_by_instance(conn, words) is None
            assert hosts.company_by_slug(conn, words) is None
            assert hosts.hosts(conn, scope=frozenset({words})) == []
            assert hosts.hosts(conn, scope=None, text=words) == []
            assert find_enrollment(conn, words, words) is None


def test_a_host_of_another_company_is_not_found(store: Store) -> None:
    with store.write() as conn:
        hosts.add_company(conn, "beta", "Beta", 2.0)
        enrol(conn)
        assert hosts.host(conn, "h1", frozenset({"beta"})) is None
        assert hosts.hosts(conn, scope=frozenset({"beta"})) == []
        found = hosts.host(conn, "h1", frozenset({"acme"}))
    assert found is not None
    assert (found.company, found.company_name, found.class_, found.site) == ("acme", "Acme", "server", "Wrocław")


def test_a_taken_name_gets_its_company_and_then_a_number(store: Store) -> None:
    with store.write() as conn:
        hosts.add_company(conn, "beta", "Beta", 2.0)
        names = [enrol(conn, f"h{i}", "srv", c).instance for i, c in enumerate(["acme", "beta", "beta", "acme"])]
    assert names == ["srv", "srv.beta", "srv-2.beta", "srv.acme"]


def test_hosts_are_found_by_a_part_of_their_words(store: Store) -> None:
    with store.write() as conn:
        enrol(conn, "h1", "srv-db-02")
        enrol(conn, "h2", "pc_01")
        for text, found in {"DB": ["h1"], "_": ["h2"], "acme": ["h2", "h1"], "%": [], "": ["h2", "h1"]}.items():
            assert [h.id for h in hosts.hosts(conn, scope=None, text=text)] == found
        assert set(hosts.by_instances(conn, ["srv-db-02", "nobody"])) == {"srv-db-02"}
        by_instance = hosts.host_by_instance(conn, "pc_01")
        assert by_instance is not None
        assert by_instance.id == "h2"


def test_a_newer_session_fences_the_older_one(store: Store) -> None:
    with store.write() as conn:
        enrol(conn)
        old = hosts.open_session(conn, "h1", at=20.0, facts={"os": "Debian"}, version="1.0", fingerprint="fp")
        assert hosts.set_presence(conn, "h1", old, "online", "", 21.0, 111.0)
        new = hosts.open_session(conn, "h1", at=30.0, facts={"os": "Debian"}, version="1.0", fingerprint="fp")
        assert (old, new) == (1, 2)
        assert not hosts.set_presence(conn, "h1", old, "away", "", 31.0, None)
        assert hosts.touch(conn, [("h1", old)], 32.0) == 0
        assert hosts.touch(conn, [("h1", new)], 33.0, deadline=123.0) == 1
        assert hosts.touch(conn, [], 34.0) == 0
        host = hosts.host(conn, "h1", None)
    assert host is not None
    assert (host.presence, host.presence_since, host.last_seen, host.deadline) == ("online", 21.0, 33.0, 123.0)
    assert (host.facts, host.agent_version, host.machine_fingerprint) == ({"os": "Debian"}, "1.0", "fp")


def test_many_presences_are_written_each_under_its_own_session_and_holder(store: Store) -> None:
    ids = [f"h{number:02}" for number in range(3 * FEW)]
    with store.write() as conn:
        for id_ in ids:
            enrol(conn, id_, f"srv-{id_}")
            hosts.open_session(conn, id_, at=20.0, facts={}, version="", fingerprint="", collector="c1")
        hosts.open_session(conn, "h03", at=21.0, facts={}, version="", fingerprint="", collector="c1")
        hosts.open_session(conn, "h05", at=21.0, facts={}, version="", fingerprint="", collector="c2")
        hosts.set_presence(conn, "h07", 1, "online", "", 22.0, 99.0)
        seen = [
            *(hosts.Standing(id_, 1, "online", "", 30.0, None) for id_ in reversed(ids) if id_ != "h05"),
            hosts.Standing("h05", 2, "online", "", 30.0, None),
        ]
        assert hosts.set_presences(conn, seen, collector="c1") == len(ids) - 2
        assert hosts.set_presences(conn, []) == 0
        rows = {h.id: (h.presence, h.presence_since, h.deadline) for h in hosts.active_identities(conn)}
    assert rows == dict.fromkeys(ids, ("online", 30.0, None)) | {
        "h03": ("never_seen", 10.0, None),
        "h05": ("never_seen", 10.0, None),
        "h07": ("online", 22.0, None),
    }


def test_presence_since_moves_only_with_presence(store: Store) -> None:
    with store.write() as conn:
        enrol(conn)
        gen = hosts.open_session(conn, "h1", at=20.0, facts={}, version="", fingerprint="")
        for at, presence, since in ((21.0, "online", 21.0), (30.0, "online", 21.0), (40.0, "away", 40.0)):
            hosts.set_presence(conn, "h1", gen, presence, "", at, at + 90.0)
            host = hosts.host(conn, "h1", None)
            assert host is not None
            assert (host.presence_since, host.deadline) == (since, at + 90.0)


def test_deadlines_are_rows(store: Store) -> None:
    with store.write() as conn:
        for i in (1, 2, 3):
            enrol(conn, f"h{i}", f"srv-{i}")
            gen = hosts.open_session(conn, f"h{i}", at=20.0, facts={}, version="", fingerprint="")
            hosts.set_presence(conn, f"h{i}", gen, "online", "", 20.0, None if i == 3 else 100.0 - i)
        assert [h.id for h in hosts.overdue(conn, 97.0)] == []
        assert [h.id for h in hosts.overdue(conn, 98.0)] == ["h2"]
        assert [h.id for h in hosts.overdue(conn, 200.0)] == ["h2", "h1"]


def test_a_retired_host_is_fenced_without_deadline_and_its_certificate_refused(store: Store) -> None:
    with store.write() as conn:
        enrol(conn)
        gen = hosts.open_session(conn, "h1", at=20.0, facts={}, version="", fingerprint="")
        hosts.set_presence(conn, "h1", gen, "online", "", 20.0, 100.0)
        assert hosts.retire(conn, "h1", 50.0)
        assert not hosts.retire(conn, "h1", 60.0)
        assert not hosts.set_presence(conn, "h1", gen, "online", "", 70.0, 100.0)
        assert hosts.open_session(conn, "h1", at=70.0, facts={}, version="", fingerprint="") == 0
        assert hosts.overdue(conn, 1e9) == []
        assert hosts.active_identities(conn) == []
        assert hosts.hosts(conn, scope=None) == []
        assert [h.retired_at for h in hosts.hosts(conn, scope=None, retired=True)] == [50.0]
        assert revoked_serials(conn) == {"serial-h1"}


def test_a_revoked_host_stays_listed_and_is_refused(store: Store) -> None:
    with store.write() as conn:
        enrol(conn)
        enrol(conn, "h2", "srv-2")
        assert hosts.revoke(conn, "h1", 50.0)
        assert not hosts.revoke(conn, "nobody", 50.0)
        assert [h.id for h in hosts.active_identities(conn)] == ["h2"]
        assert len(hosts.hosts(conn, scope=None)) == 2
        assert revoked_serials(conn) == {"serial-h1"}


def test_a_repeated_enrolment_finds_its_host_and_newest_certificate(store: Store) -> None:
    with store.write() as conn:
        enrol(conn)
        add_certificate(conn, "h1", serial="s2", pem="PEM2", not_after=9.5e9, at=20.0)
        found = find_enrollment(conn, "e-h1", "key")
        assert found is not None
        assert (found.host.id, found.serial, found.certificate_pem, found.not_after) == ("h1", "s2", "PEM2", 9.5e9)
        assert find_enrollment(conn, "e-other", "key") is None
        with pytest.raises(TokenRefused) as error:
            find_enrollment(conn, "e-h1", "other key")
        assert error.value.reason == "key"
        assert revoke_certificate(conn, "s2", 30.0)
        assert not revoke_certificate(conn, "s2", 31.0)
        assert revoked_serials(conn) == {"s2"}


def test_a_host_of_an_unknown_company_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="no company"), store.write() as conn:
        enrol(conn, company="nobody")


def test_identities_are_those_in_service_and_those_held_elsewhere_are_told_apart(store: Store) -> None:
    with store.write() as conn:
        for number, holder in enumerate(("c1", "c2", None)):
            enrol(conn, f"h{number}", f"srv-{number}")
            hosts.open_session(conn, f"h{number}", at=20.0, facts={}, version="", fingerprint="", collector=holder)
        for id_, end in (("h3", hosts.retire), ("h4", hosts.revoke)):
            enrol(conn, id_, f"srv-{id_}")
            end(conn, id_, 30.0)
        named = hosts.identities(conn)
        others = hosts.held_elsewhere(conn, "c1")
    assert named[0] == ("h0", "srv-0", "srv-0", "acme", "Wrocław", "server")
    assert [one[0] for one in named] == ["h0", "h1", "h2"]
    assert [host.id for host in others] == ["h1", "h2"]


def test_many_lines_are_on_the_timelines_in_their_order(store: Store) -> None:
    with store.write() as conn:
        enrol(conn)
        enrol(conn, "h2", "srv-2")
        lines = [hosts.Line(f"h{1 + n % 2}", 20.0, f"kind{n}", {"n": n}) for n in range(4 * FEW)]
        hosts.add_host_events(conn, lines)
        events = hosts.host_events(conn, "h2")
    assert [(e.kind, e.detail) for e in events] == [(f"kind{n}", {"n": n}) for n in range(4 * FEW - 1, 0, -2)]


def test_a_hosts_timeline_is_newest_first(store: Store) -> None:
    with store.write() as conn:
        enrol(conn)
        hosts.add_host_event(conn, "h1", 20.0, "boot", {"boot_id": "b\0", "gap": float("nan")})
        hosts.add_host_event(conn, "h1", 30.0, "online")
        events = hosts.host_events(conn, "h1")
    assert [(e.at, e.kind, e.detail) for e in events] == [
        (30.0, "online", {}),
        (20.0, "boot", {"boot_id": "b", "gap": None}),
    ]
