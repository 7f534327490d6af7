"""The queue: views, search, order, pages, live rows, bulk, and how much it asks of the database."""

import re

import pytest
from sqlalchemy import event

from collector.intake import Intake
from collector.store import Store
from collector.tickets.action import Take
from collector.tickets.ticket import Actor, Kind, NewTicket, Source
from tests.web.seed import Seeded
from tests.web.visitor import Clock, Visit

pytestmark = pytest.mark.usefixtures("estate")


def numbers(page: str) -> list[str]:
    return re.findall(r'class="num dim s no">(\d+)<', page)


def opened(intake: Intake, who: Actor, at: float, count: int) -> None:
    for i in range(count):
        new = NewTicket("alfa", f"Zgłoszenie {i}", Kind.REQUEST, Source.PHONE, requester="Ewa Lis")
        intake.open_by_person(new, who, at + i)


def test_the_most_urgent_stand_first(browser: Visit) -> None:
    assert numbers(browser("anna").get("/queue").text) == [f"{n:06d}" for n in (10, 2, 7, 5, 6, 1, 9, 8)]


@pytest.mark.parametrize(
    ("view", "expected"),
    [("mine", [5]), ("unassigned", [10, 7, 6, 9, 8]), ("waiting", [2, 1]), ("closed", [3, 4])],
)
def test_a_view_is_a_url(browser: Visit, view: str, expected: list[int]) -> None:
    assert numbers(browser("anna").get(f"/queue/{view}").text) == [f"{n:06d}" for n in expected]


def test_the_side_counts_what_the_views_show(browser: Visit) -> None:
    page = browser("anna").get("/queue").text
    counts = dict(re.findall(r'data-count="(\w+)">(\d+)<', page))
    assert counts == {"mine": "1", "unassigned": "5", "waiting": "2", "all": "8"}


def test_a_header_sorts_and_says_how(browser: Visit) -> None:
    anna = browser("anna")
    oldest = anna.get("/queue?sort=age&dir=desc").text
    assert numbers(oldest) == [f"{n:06d}" for n in (1, 9, 2, 7, 5, 8, 6, 10)]
    assert re.search(r'<th class="c-age" scope="col" aria-sort="descending">', oldest)
    assert oldest.count("aria-sort") == 1
    assert numbers(anna.get("/queue?sort=age").text) == numbers(oldest)[::-1]


def test_the_search_finds_and_its_mistakes_are_named(browser: Visit) -> None:
    anna = browser("anna")
    assert numbers(anna.get("/queue?q=host:srv-db-02").text) == ["000010"]
    assert numbers(anna.get("/queue?q=drukarka+state:closed").text) == ["000003"]
    wrong = anna.get("/queue?q=prio:9")
    assert wrong.status_code == 400
    assert "a mistake at character 6" in wrong.text


def test_a_page_leads_to_the_next_and_none_is_lost(
    browser: Visit, estate: Seeded, intake: Intake, clock: Clock
) -> None:
    opened(intake, Actor(estate.anna.id, estate.anna.name), clock.at - 1000, 120)
    anna, seen, path = browser("anna"), [], "/queue"
    while path:
        page = anna.get(path).text
        seen += numbers(page)
        found = re.search(r'rel="next" href="([^"]+)"', page)
        path = found[1].replace("&amp;", "&") if found else ""
    assert len(seen) == len(set(seen)) == 128
    assert anna.get("/queue?after=nonsense").status_code == 400


def test_the_number_of_queries_does_not_grow_with_the_tickets(
    browser: Visit, estate: Seeded, store: Store, intake: Intake, clock: Clock
) -> None:
    who, anna, asked = Actor(estate.anna.id, estate.anna.name), browser("anna"), []

    def count(*_: object) -> None:
        asked.append(1)

    counted = []
    for more in (50, 450):
        opened(intake, who, clock.at - 5000 + more, more)
        event.listen(store._engine, "before_cursor_execute", count)
        asked.clear()
        assert anna.get("/queue").status_code == 200
        counted.append(len(asked))
        event.remove(store._engine, "before_cursor_execute", count)
    assert counted[0] == counted[1] <= 12


def test_unchanged_rows_are_a_304(browser: Visit, estate: Seeded, intake: Intake, clock: Clock) -> None:
    anna = browser("anna")
    first = anna.get("/queue/all/rows?have=1,2")
    tag = first.headers["ETag"]
    assert anna.get("/queue/all/rows?have=1,2", If_None_Match=tag).status_code == 304
    who = Actor(estate.anna.id, estate.anna.name)
    intake.act("10", [Take()], who, clock.at)
    changed = anna.get("/queue/all/rows?have=1,2", If_None_Match=tag)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


@pytest.mark.parametrize(
    ("have", "english", "polish"),
    [
        ("1,2,5,6,7,8,9", "1 new ticket — show", "1 nowe zgłoszenie — pokaż"),
        ("1,2,5,6,7,8", "2 new tickets — show", "2 nowe zgłoszenia — pokaż"),
        ("1,2,5", "5 new tickets — show", "5 nowych zgłoszeń — pokaż"),
        ("1,2,5,6,7,8,9,10", "", ""),
    ],
)
def test_new_tickets_are_counted_in_the_reader_s_grammar(browser: Visit, have: str, english: str, polish: str) -> None:
    anna = browser("anna")
    for language, sentence in (("en", english), ("pl", polish)):
        page = anna.get(f"/queue/all/rows?have={have}", Accept_Language=language).text
        assert f'<p id="news">{sentence}</p>' in page


def test_marks_say_no_data_and_recovered(browser: Visit) -> None:
    page = browser("anna").get("/queue").text
    assert re.search(r'id="t7".*?pill unknown"[^>]*>no data<', page, re.DOTALL)
    assert re.search(r'id="t9".*?pill ok"[^>]*>.*?recovered<', page, re.DOTALL)


def test_the_reaction_is_told_as_it_is(browser: Visit) -> None:
    page = browser("anna").get("/queue").text
    assert re.search(r'id="t6".*?waits 21 min', page, re.DOTALL)
    assert re.search(r'id="t5".*?after 15 min', page, re.DOTALL)
    assert re.search(r'id="t9".*?stopped', page, re.DOTALL)


def test_selected_tickets_are_taken_together_and_refusals_are_named(browser: Visit) -> None:
    anna = browser("anna")
    chosen = ["CZ-2026-000006", "CZ-2026-000008", "CZ-2026-000003"]
    got = anna.send("/queue/bulk", {"act": "take", "ticket": chosen, "next": "/queue/mine"})
    assert got.headers["Location"] == "/queue/mine"
    page = anna.get("/queue/mine").text
    assert {"000006", "000008"} <= set(numbers(page))
    assert "2 tickets done." in page
    assert "Not possible in their state: CZ-2026-000003" in page


def test_what_one_has_read_is_not_marked_any_more(browser: Visit) -> None:
    anna = browser("anna")
    assert '<tr id="t6" class="unread">' in anna.get("/queue").text
    anna.get("/tickets/CZ-2026-000006")
    assert '<tr id="t6">' in anna.get("/queue").text
