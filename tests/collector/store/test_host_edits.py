"""A person's change of a host and notes, on both databases."""

import pytest

from collector.store import Store, StoreError, host_edits, hosts
from collector.store.host_edits import HostEdit
from collector.store.hosts import Host
from collector.tickets.errors import Invalid
from collector.tickets.ticket import Actor
from tests.collector.store.test_hosts import enrol

EWA = Actor(7, "Ewa")


@pytest.fixture
def host(store: Store) -> Host:
    with store.write() as conn:
        hosts.add_company(conn, "acme", "Acme", 1.0)
        enrol(conn, "h1", "srv")
        found = hosts.host(conn, "h1", None)
    assert found is not None
    return found


def test_an_edit_is_written_under_its_version_and_told(store: Store, host: Host) -> None:
    with store.write() as conn:
        after = host_edits.edit_host(conn, host, HostEdit(site=" Gdańsk\n ", class_="laptop"), EWA, 20.0)
        assert after is not None
        assert (after.site, after.class_, after.name, after.version) == ("Gdańsk", "laptop", "srv", 2)
        assert host_edits.edit_host(conn, host, HostEdit(site="late"), EWA, 21.0) is None
        assert host_edits.edit_host(conn, after, HostEdit(site="Gdańsk"), EWA, 22.0) == after
        events = hosts.host_events(conn, "h1")
    changes = {"site": {"from": "Wrocław", "to": "Gdańsk"}, "class": {"from": "server", "to": "laptop"}}
    assert [(e.at, e.kind, e.detail) for e in events] == [
        (20.0, "changed", {"by": "Ewa", "by_id": 7, "source": "user", "changes": changes})
    ]


def test_the_next_session_is_stamped_with_the_edit(store: Store, host: Host) -> None:
    with store.write() as conn:
        host_edits.edit_host(conn, host, HostEdit(name="db", site="Łódź"), EWA, 20.0)
        assert [(h.name, h.site, h.instance) for h in hosts.active_identities(conn)] == [("db", "Łódź", "srv")]


def test_a_retired_host_is_not_edited(store: Store, host: Host) -> None:
    with store.write() as conn:
        hosts.retire(conn, "h1", 15.0)
        assert host_edits.edit_host(conn, host, HostEdit(site="x"), EWA, 20.0) is None


@pytest.mark.parametrize(
    ("values", "field"),
    [({"name": "-x"}, "name"), ({"name": "a\0b"}, "name"), ({"site": "x" * 101}, "site"), ({"class_": ""}, "class")],
)
def test_an_edit_that_makes_no_sense_is_not_made(values: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as error:
        HostEdit(**values)
    assert error.value.field == field


@pytest.mark.usefixtures("host")
def test_a_note_with_a_key_is_written_once_for_each_actor(store: Store) -> None:
    with store.write() as conn:
        first = host_edits.add_note(conn, "h1", "Loud\0 fan", EWA, 20.0, key="k")
        assert host_edits.add_note(conn, "h1", "Other words", EWA, 30.0, key="k") == first
        host_edits.add_note(conn, "h1", "Quiet now", Actor(8, "Jan"), 31.0, key="k")
        host_edits.add_note(conn, "h1", "Quiet now", EWA, 32.0)
        found = host_edits.notes(conn, "h1")
    assert [(e.at, e.detail["by"], e.detail["text"]) for e in found] == [
        (20.0, "Ewa", "Loud fan"),
        (31.0, "Jan", "Quiet now"),
        (32.0, "Ewa", "Quiet now"),
    ]


@pytest.mark.usefixtures("host")
def test_of_very_many_notes_the_newest_are_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_edits, "MOST_NOTES", 2)
    with store.write() as conn:
        for at in (3.0, 1.0, 2.0):
            host_edits.add_note(conn, "h1", f"at {at}", EWA, at)
        assert [e.at for e in host_edits.notes(conn, "h1")] == [2.0, 3.0]


@pytest.mark.parametrize("words", ["", " \n", "x" * 20_001])
def test_a_note_needs_words(store: Store, host: Host, words: str) -> None:
    with pytest.raises(Invalid), store.write() as conn:
        host_edits.add_note(conn, host.id, words, EWA, 20.0)


def test_a_note_of_no_host_is_refused(store: Store) -> None:
    with pytest.raises(StoreError), store.write() as conn:
        host_edits.add_note(conn, "nobody", "x", EWA, 20.0)
