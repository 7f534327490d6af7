"""What a late goodbye and a retirement do to tickets, through the one door, on both databases."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, AlertState, EventKind
from collector.intake import Intake
from collector.labels import Labels
from collector.store import Store, hosts, tickets
from collector.store import tables as t
from collector.tickets.entry import EntryKind
from collector.tickets.ticket import Status, Ticket

NOW = 1_800_000_000.0
LABELS = Labels.of({"alertname": "HostSilent", "instance": "srv1", "company": "acme"})


@pytest.fixture
def intake(store: Store) -> Intake:
    """A door to a store with the host srv1."""
    with store.write() as conn:
        company = conn.scalar(sa.select(t.company.c.id))
        row = {"id": "h1", "company_id": company, "site": "", "name": "srv1", "instance": "srv1", "presence": "online"}
        row |= {"presence_reason": "", "presence_since": NOW, "session_gen": 1, "agent_version": "1", "facts": {}}
        row |= {"first_seen": NOW, "machine_fingerprint": "f", "class": "server"}
        conn.execute(sa.insert(t.host).values(**row))
    return Intake(store)


def tell(intake: Intake, kind: EventKind, at: float, *, started: float = NOW, rule: str = "HostSilent") -> None:
    labels = Labels.of({**LABELS.as_dict(), "alertname": rule})
    event = AlertEvent(kind, "rules", f"k-{rule}", labels, {"summary": rule}, 1.0, at, started, rule_name=rule)
    row = Alert(event.key, rule, labels, AlertState.FIRING, started, at, 1.0)
    fired = kind is EventKind.FIRED
    intake.alerts(AlertChanges((row,) if fired else (), () if fired else (event.key,), (event,)), at)


def found(store: Store) -> list[Ticket]:
    with store.read() as conn:
        return [tickets.ticket_of(row) for row in conn.execute(tickets.select_tickets().order_by(t.ticket.c.id))]


def test_a_late_goodbye_closes_the_ticket_and_its_recovery_changes_nothing(store: Store, intake: Intake) -> None:
    tell(intake, EventKind.FIRED, NOW)
    tell(intake, EventKind.FIRED, NOW, rule="DiskFull")
    (number,) = intake.late_notice("h1", "reboot", NOW + 60)
    closed, other = found(store)
    assert (closed.number, closed.status, closed.closed_at) == (number, Status.CLOSED, NOW + 60)
    assert other.open
    assert intake.late_notice("h1", "reboot", NOW + 61) == []
    with store.read() as conn:
        last = tickets.timeline(conn, closed.id)[-1]
    assert (last.kind, last.data) == (EntryKind.CLOSED, {"reason": "late_notice", "absence": "reboot"})
    tell(intake, EventKind.RECOVERED, NOW + 62)
    assert found(store)[0] == closed
    with store.read() as conn:
        assert tickets.timeline(conn, closed.id)[-1] == last


def test_its_episode_stays_spent_and_the_next_silence_is_told_again(store: Store, intake: Intake) -> None:
    tell(intake, EventKind.FIRED, NOW)
    intake.late_notice("h1", "reboot", NOW + 60)
    tell(intake, EventKind.FIRED, NOW + 61)
    assert [ticket.open for ticket in found(store)] == [False]
    tell(intake, EventKind.RECOVERED, NOW + 62)
    tell(intake, EventKind.FIRED, NOW + 600, started=NOW + 600)
    (ticket,) = found(store)
    assert (ticket.open, ticket.occurrences) == (True, 2)


def test_what_a_person_resolved_stays_as_they_left_it(store: Store, intake: Intake) -> None:
    tell(intake, EventKind.FIRED, NOW)
    with store.write() as conn:
        conn.execute(sa.update(t.ticket).values(status=Status.RESOLVED.value, resolved_at=NOW + 1))
    assert intake.late_notice("h1", "reboot", NOW + 60) == []
    assert found(store)[0].status is Status.RESOLVED


def test_a_retired_host_takes_its_rules_tickets_with_it(store: Store, intake: Intake) -> None:
    tell(intake, EventKind.FIRED, NOW)
    tell(intake, EventKind.FIRED, NOW, rule="DiskFull")
    assert intake.retire("h1", NOW + 60)
    assert not intake.retire("h1", NOW + 61)
    assert {ticket.closed_at for ticket in found(store)} == {NOW + 60}
    with store.read() as conn:
        host = hosts.host(conn, "h1", None)
        assert host is not None
        assert (host.presence, host.retired_at) == ("retired", NOW + 60)
        assert replace(host, presence="x").revoked_at == NOW + 60
