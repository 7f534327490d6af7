"""The ticket of an outage: its computers, and how many they were when."""

import re

import pytest

from collector.intake import Intake
from collector.store import Store
from tests.web.outage import computers, outage, ticket
from tests.web.visitor import Visit

pytestmark = pytest.mark.usefixtures("estate")


def test_the_computers_are_listed_with_where_they_stand_now(browser: Visit, store: Store, intake: Intake) -> None:
    number = outage(store, intake, count=9, back=4)
    page = browser("anna").get(f"/tickets/{number}").text
    (listed,) = re.findall(r"<section[^>]*><h2>Computers</h2>.*?</section>", page, re.DOTALL)
    assert re.findall(r"<bdi>(srv-\d\d)</bdi></a><span>([^<]*)</span>", listed) == [
        (f"srv-{n:02}", "online" if n < 4 else "not known now") for n in range(9)
    ]
    assert 'href="/hosts/id-srv-00"' in listed
    assert "Łódź &lt;1&gt; has gone silent, hosts away: 5" in page
    assert "9 computers are away now, before 7" in page
    assert "5 computers are away now, before 9" in page


def test_a_long_list_is_cut_and_says_so_in_polish(browser: Visit, store: Store, intake: Intake) -> None:
    number = outage(store, intake, count=52, back=0)
    page = browser("anna").get(f"/tickets/{number}", Accept_Language="pl").text
    assert page.count("<bdi>srv-") == 50
    assert "i jeszcze 2" in page
    assert "nie zgłaszają się teraz 52 komputery, wcześniej 50" in page


def test_of_an_outage_of_all_everybody_sees_the_computers_of_their_companies(
    browser: Visit, store: Store, intake: Intake
) -> None:
    computers(store, ["srv-a1", "srv-a2"], "alfa")
    computers(store, ["srv-b1"], "beta")
    number = ticket(store, intake, 3, rule="FleetSilent")
    for name, seen in (("anna", ["srv-a1", "srv-a2", "srv-b1"]), ("jan", ["srv-a1", "srv-a2"])):
        assert re.findall(r"<bdi>(srv-\w\d)</bdi></a><span>", browser(name).get(f"/tickets/{number}").text) == seen
