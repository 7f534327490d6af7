"""A technician opens a ticket for somebody."""

import pytest

from collector.store import Store, tickets
from collector.tickets.ticket import Source, Ticket
from tests.web.visitor import Visit

pytestmark = pytest.mark.usefixtures("estate")

FORM = {
    "key": "k1",
    "title": "Nie działa skaner",
    "description": "Od rana",
    "requester": "Ewa Lis",
    "source": "chat",
    "impact": "1",
    "urgency": "2",
    "company": "alfa",
    "host": "",
    "kind": "incident_person",
}


def stored(store: Store, number: str = "11") -> Ticket | None:
    with store.read() as conn:
        return tickets.find(conn, number, None)


def test_number_and_priority_come_back(browser: Visit, store: Store) -> None:
    anna = browser("anna")
    got = anna.send("/tickets/new", FORM, page="/tickets/new")
    assert got.headers["Location"] == "/tickets/CZ-2026-000011"
    assert "The ticket is CZ-2026-000011, priority P2." in anna.get("/tickets/CZ-2026-000011").text
    made = stored(store)
    assert made is not None
    assert (made.source, made.requester, made.description) == (Source.CHAT, "Ewa Lis", "Od rana")


def test_sent_twice_it_is_one_ticket(browser: Visit, store: Store) -> None:
    anna = browser("anna")
    first, second = (anna.send("/tickets/new", FORM).headers["Location"] for _ in range(2))
    assert first == second
    assert stored(store, "12") is None


def test_opened_and_taken(browser: Visit, store: Store) -> None:
    browser("anna").send("/tickets/new", {**FORM, "take": "yes"})
    made = stored(store)
    assert made is not None
    assert made.assignee == "Anna Kowal"


def test_a_computer_is_named_by_its_instance_or_its_name(browser: Visit, store: Store) -> None:
    browser("anna").send("/tickets/new", {**FORM, "host": " srv-db-02 "})
    made = stored(store)
    assert made is not None
    assert made.host_id == "id-srv-db-02"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"title": "  "}, "This is empty or too long."),
        ({"title": "x" * 201}, "This is empty or too long."),
        ({"host": "srv-db"}, "There is no such computer"),
        ({"company": "gamma"}, "Choose a company."),
    ],
)
def test_a_wrong_field_is_marked_and_nothing_typed_is_lost(
    browser: Visit, store: Store, wrong: dict[str, str], said: str
) -> None:
    got = browser("anna").send("/tickets/new", {**FORM, **wrong})
    assert got.status_code == 422
    assert said in got.text
    assert 'aria-invalid="true"' in got.text
    assert "Od rana" in got.text
    assert stored(store) is None


@pytest.mark.parametrize(
    "wrong", [{"source": "monitoring"}, {"impact": "9"}, {"kind": "incident_monitoring"}, {"urgency": "x"}]
)
def test_a_choice_that_was_not_offered_is_a_400(browser: Visit, wrong: dict[str, str]) -> None:
    assert browser("anna").send("/tickets/new", {**FORM, **wrong}).status_code == 400
