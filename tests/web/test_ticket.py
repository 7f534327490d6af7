"""The ticket's page: every act, every refusal, both edits of a conflict."""

import re

import pytest

from collector.intake import Intake
from collector.store import Store, tickets
from collector.tickets.action import Comment, Take, allowed
from collector.tickets.ticket import Actor, Status, Ticket
from tests.web import seed
from tests.web.seed import Seeded
from tests.web.visitor import Clock, Visit

pytestmark = pytest.mark.usefixtures("estate")

DISK = "/tickets/CZ-2026-000010"


def form(page: str, act: str) -> dict[str, str]:
    """The hidden fields of one of the page's forms."""
    found = re.search(rf'action="[^"]*/{act}".*?</form>', page, re.DOTALL)
    assert found is not None
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', found[0]))


def stored(store: Store, number: str = "10") -> Ticket:
    with store.read() as conn:
        found = tickets.find(conn, number, None)
    assert found is not None
    return found


def test_the_short_number_leads_to_the_ticket(browser: Visit) -> None:
    assert browser("anna").get("/tickets/10").headers["Location"] == DISK
    assert browser("anna").get("/tickets/000010").headers["Location"] == DISK


def test_the_page_shows_what_a_technician_needs(browser: Visit) -> None:
    page = browser("anna").get(DISK).text
    for needed in (
        "Disk / on srv-db-02 is nearly full: 4.1 % (2.1 GB) left",
        'class="chart"',
        "threshold 8 %",
        "ticket 08:53",
        "node_filesystem_avail_bytes / node_filesystem_size_bytes &lt; 0.08",
        "Skasowano stare archiwa WAL",
        'href="/runbooks/HostFilesystemFull"',
        "Debian GNU/Linux 12",
        "41 days",
        "internal note",
        "live values are not available now",
    ):
        assert needed in page


def test_in_polish_the_rule_s_polish_words_are_shown(browser: Visit) -> None:
    page = browser("anna").get(DISK, Accept_Language="pl").text
    assert "Dysk / na srv-db-02 jest prawie pełny" in page
    assert "otwarte przez regułę HostDiskFull" in page


def test_taking_assigns_and_starts(browser: Visit, store: Store) -> None:
    anna = browser("anna")
    assert anna.send(f"{DISK}/take", form(anna.get(DISK).text, "take")).status_code == 303
    got = stored(store)
    assert (got.assignee, got.status) == ("Anna Kowal", Status.IN_PROGRESS)
    assert "took the ticket" in anna.get(DISK).text


def test_a_note_is_not_public_and_a_reply_is(browser: Visit, store: Store) -> None:
    anna = browser("anna")
    anna.send(f"{DISK}/say", {"kind": "note", "text": "only us"})
    anna.send(f"{DISK}/say", {"kind": "reply", "text": "for you"})
    with store.read() as conn:
        public = {event.text: event.public for event in tickets.timeline(conn, stored(store).id)}
    assert public["only us"] is False
    assert public["for you"] is True
    page = anna.get(DISK).text
    assert re.search(r'class="say note"[^>]*>(?:(?!</li>).)*only us', page, re.DOTALL)


def test_a_comment_never_conflicts(browser: Visit, estate: Seeded, intake: Intake, clock: Clock) -> None:
    anna = browser("anna")
    before = form(anna.get(DISK).text, "say")
    intake.act("10", [Take()], Actor(estate.jan.id, "Jan Nowak"), clock.at)
    assert anna.send(f"{DISK}/say", {**before, "kind": "reply", "text": "hello"}).status_code == 303


def test_send_and_close_keeps_the_words_as_the_solution(browser: Visit, store: Store) -> None:
    anna = browser("anna")
    hidden = form(anna.get(DISK).text, "say")
    anna.send(f"{DISK}/say", {**hidden, "kind": "reply", "text": "Freed 40 GB.", "then": "closed"})
    assert (stored(store).status, stored(store).resolution) == (Status.CLOSED, "Freed 40 GB.")


def test_finishing_keeps_how_it_was_solved(browser: Visit, store: Store) -> None:
    anna = browser("anna")
    hidden = form(anna.get(DISK).text, "finish")
    anna.send(f"{DISK}/finish", {**hidden, "status": "resolved", "resolution": "WAL archives removed"})
    assert (stored(store).status, stored(store).resolution) == (Status.RESOLVED, "WAL archives removed")


def test_priority_follows_impact_and_urgency(browser: Visit, store: Store) -> None:
    anna = browser("anna")
    hidden = form(anna.get(DISK).text, "priority")
    anna.send(f"{DISK}/priority", {**hidden, "impact": "3", "urgency": "3"})
    assert stored(store).priority.name == "P4"
    assert "priority P1 → P4 (impact low × urgency low)" in anna.get(DISK).text  # noqa: RUF001 - typography


def test_escalating_hands_it_over_and_takes_it_from_whoever_has_it(browser: Visit, store: Store) -> None:
    anna = browser("anna")
    anna.send(f"{DISK}/take", form(anna.get(DISK).text, "take"))
    hidden = form(anna.get(DISK).text, "queue")
    anna.send(f"{DISK}/queue", {**hidden, "queue": "Service desk"})
    assert (stored(store).queue, stored(store).assignee) == ("service desk", None)


def test_assigning_to_somebody_and_to_nobody(browser: Visit, estate: Seeded, store: Store) -> None:
    anna = browser("anna")
    jan = str(estate.jan.id)
    anna.send(f"{DISK}/assign", {**form(anna.get(DISK).text, "assign"), "user": jan})
    assert stored(store).assignee == "Jan Nowak"
    anna.send(f"{DISK}/assign", {**form(anna.get(DISK).text, "assign"), "user": ""})
    assert stored(store).assignee is None


@pytest.mark.parametrize("number", range(1, 11))
def test_the_page_offers_exactly_what_the_table_allows(browser: Visit, store: Store, number: int) -> None:
    page = browser("anna").get(f"/tickets/CZ-2026-{number:06d}").text
    offered = set(re.findall(r'name="status" value="(\w+)"', page))
    assert offered == {status.value for status in allowed(stored(store, str(number)))}


def test_a_move_the_table_forbids_is_refused_in_words(browser: Visit, store: Store) -> None:
    anna = browser("anna")
    got = anna.send("/tickets/3/status", {"status": "waiting_part"})
    assert got.status_code == 303
    assert "This cannot be done while the ticket is: closed." in anna.get("/tickets/CZ-2026-000003").text
    assert stored(store, "3").status is Status.CLOSED


@pytest.mark.parametrize(
    ("act", "fields"),
    [("status", {"status": "gone"}), ("priority", {"impact": "7"}), ("say", {"text": "x", "then": "new!"})],
)
def test_a_form_nobody_made_is_a_400(browser: Visit, act: str, fields: dict[str, str]) -> None:
    assert browser("anna").send(f"{DISK}/{act}", fields).status_code == 400


def test_empty_words_are_refused_in_words(browser: Visit) -> None:
    anna = browser("anna")
    anna.send(f"{DISK}/say", {"text": "  "})
    assert "The text is empty or too long" in anna.get(DISK).text


def test_a_lost_update_shows_both_edits_and_can_still_be_done(
    browser: Visit, estate: Seeded, intake: Intake, store: Store, clock: Clock
) -> None:
    anna = browser("anna")
    mine = {**form(anna.get(DISK).text, "finish"), "status": "closed", "resolution": "My <b>words</b>"}
    jan = Actor(estate.jan.id, "Jan Nowak")
    intake.act("10", [Take(), Comment("Jan's words", public=False)], jan, clock.at)
    got = anna.send(f"{DISK}/finish", mine)
    assert got.status_code == 409
    for both in (
        "Jan Nowak",
        "took the ticket",
        "Jan&#39;s words",
        "Set the state: closed",
        "My &lt;b&gt;words&lt;/b&gt;",
    ):
        assert both in got.text
    assert stored(store).status is Status.IN_PROGRESS
    again = {**form(got.text, "finish"), "resolution": "My words"}
    assert anna.send(f"{DISK}/finish", again).status_code == 303
    assert (stored(store).status, stored(store).resolution) == (Status.CLOSED, "My words")


def test_every_conflict_says_what_was_wanted(browser: Visit, estate: Seeded) -> None:
    anna, old = browser("anna"), {"version": "1", "seen": "0"}
    for act, fields, wanted in (
        ("take", {}, "Take the ticket"),
        ("assign", {"user": str(estate.jan.id)}, "Assign it to Jan Nowak"),
        ("assign", {"user": ""}, "Put it back: nobody has it"),
        ("priority", {"impact": "1", "urgency": "3"}, "Set impact high and urgency low"),
        ("queue", {"queue": "Sieci"}, "Hand it over to Sieci"),
        ("say", {"text": "x", "then": "closed"}, "Write this and set the state: closed"),
    ):
        got = anna.send(f"{DISK}/{act}", {**old, **fields})
        assert (got.status_code, wanted in got.text) == (409, True)


def test_news_tell_only_when_there_are_any(browser: Visit, estate: Seeded, intake: Intake, clock: Clock) -> None:
    anna = browser("anna")
    found = re.search(r'data-news="([^"]+)"', anna.get(DISK).text)
    assert found is not None
    address = found[1].replace("&amp;", "&")
    quiet = anna.get(address)
    assert '<p id="news"></p>' in quiet.text
    assert anna.get(address, If_None_Match=quiet.headers["ETag"]).status_code == 304
    intake.act("10", [Take()], Actor(estate.jan.id, "Jan Nowak"), clock.at)
    assert "The ticket has changed" in anna.get(address, If_None_Match=quiet.headers["ETag"]).text


def test_next_is_the_most_urgent_that_nobody_has(browser: Visit) -> None:
    anna = browser("anna")
    assert anna.get("/tickets/1/next").headers["Location"] == DISK
    assert anna.get("/tickets/10/next").headers["Location"] == "/tickets/CZ-2026-000007"


def test_a_runbook_that_is_no_web_address_is_no_link(
    browser: Visit, estate: Seeded, intake: Intake, clock: Clock
) -> None:
    from dataclasses import replace  # noqa: PLC0415 - only here

    from collector.alerts.alert import EventKind  # noqa: PLC0415 - only here

    host = estate.hosts["srv-db-02"]
    event = seed.alert(EventKind.FIRED, "Evil", host, ("evil", "zły"), "info", clock.at)
    texts = {**event.annotations, "runbook_url": "javascript:alert(1)"}
    seed.fire(intake, replace(event, annotations=texts))
    page = browser("anna").get("/tickets/CZ-2026-000011").text
    assert "javascript:" not in page
