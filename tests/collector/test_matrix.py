"""A priority matrix that an admin sets counts at once, in every part."""

import pytest

from collector.alerts.alert import AlertChanges, AlertEvent, EventKind
from collector.intake import Intake
from collector.labels import Labels, dedup_key
from collector.store import Store, hosts, settings, tickets
from collector.tickets.action import SetPriority
from collector.tickets.priority import DEFAULT_MATRIX, Matrix
from collector.tickets.ticket import Actor, Level, NewTicket, Priority

ANNA = Actor(None, "Anna")
STRICT: Matrix = dict.fromkeys(DEFAULT_MATRIX, Priority.P1)


@pytest.fixture
def intake(store: Store) -> Intake:
    with store.write() as conn:
        hosts.add_company(conn, "acme", "Acme", 1.0)
    return Intake(store)


def fire(intake: Intake, name: str, at: float) -> str:
    labels = Labels.of(alertname=name, company="acme")
    key = dedup_key("acme", "rules", labels)
    texts = {"summary": name}
    fired = AlertEvent(EventKind.FIRED, "rules", key, labels, texts, 1.0, at, at, rule="r", rule_name=name)
    intake.alerts(AlertChanges(events=(fired,)), at)
    return key


def test_tickets_of_rules_and_people_have_the_new_priority_from_then_on(store: Store, intake: Intake) -> None:
    before = intake.open_by_person(NewTicket("acme", "x"), ANNA, 1.0)
    assert before.priority is not Priority.P1
    with store.write() as conn:
        settings.put_matrix(conn, STRICT, 2.0)
    key = fire(intake, "DiskFull", 3.0)
    with store.read() as conn:
        assert tickets.open_by_key(conn, (key,))[key].priority is Priority.P1
        unchanged = tickets.find(conn, before.number, None)
    assert unchanged is not None
    assert unchanged.priority is before.priority
    assert intake.open_by_person(NewTicket("acme", "y"), ANNA, 4.0).priority is Priority.P1
    assert intake.act(before.number, [SetPriority(Level.LOW, Level.LOW)], ANNA, 5.0).priority is Priority.P1
