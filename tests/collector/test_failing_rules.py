"""A rule that fails at any of several collectors is one problem and one ticket, until it works at all of them."""

from pathlib import Path

import pytest

from collector.head import STALE
from collector.labels import Labels
from collector.store import Store, collectors
from tests.collector.town import Site, Town

DEFAULT = Path(__file__).parents[2] / "collector" / "rules" / "defaults" / "collector.yml"
RULES = DEFAULT.read_text(encoding="utf-8").replace(
    "groups:", "groups:\n  - {name: g, rules: [{alert: Narrow, expr: m * on () m > 1000}]}", 1
)
PAIR = [Labels.of(__name__="m", instance=instance) for instance in ("pc1", "pc2")]
HARMLESS = RULES.replace("Narrow", "Other").replace("m * on () m", "m")
OPEN, OVER = [("RuleFailing", True)], [("RuleFailing", False)]


@pytest.fixture
def town(store: Store) -> Town:
    return Town(store)


class Days:
    """Collectors that look around and judge every 15 s."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.at = 1000.0

    def go_by(self, seconds: float, *sites: Site, blind: tuple[Site, ...] = ()) -> list[tuple[str, bool]]:
        """The tickets after a time in which Narrow finds two series where it expects one at those that are blind."""
        until = self.at + seconds
        while self.at < until:
            self.at += 15.0
            for site in sites:
                site.head.set(PAIR, [1.0, 1.0 if site in blind else STALE], self.at)
                site.run(self.at)
                site.look(self.at)
        return self.town.tickets()


@pytest.fixture
def days(town: Town) -> Days:
    return Days(town)


@pytest.mark.parametrize("number", [0, 1])
def test_a_rule_that_fails_at_one_collector_is_one_ticket_whichever_it_is(town: Town, days: Days, number: int) -> None:
    sites = town.site("one", RULES), town.site("two", RULES)
    assert sites[0].custody.lead
    assert days.go_by(60.0, *sites) == []
    assert days.go_by(120.0, *sites, blind=(sites[number],)) == OPEN
    assert days.go_by(60.0, *sites) == OVER


def test_it_is_one_ticket_until_the_rule_works_at_all_collectors(town: Town, days: Days) -> None:
    one, two = town.site("one", RULES), town.site("two", RULES)
    assert days.go_by(120.0, one, two, blind=(one, two)) == OPEN
    told = town.told()
    assert days.go_by(60.0, one, two, blind=(one,)) == OPEN
    assert days.go_by(60.0, one, two, blind=(one, two)) == OPEN
    assert days.go_by(60.0, one, two, blind=(two,)) == OPEN
    assert town.told() == told
    assert days.go_by(60.0, one, two) == OVER


def test_a_failure_that_moves_from_collector_to_collector_stays_the_same_ticket(town: Town, days: Days) -> None:
    one, two = town.site("one", RULES), town.site("two", RULES)
    assert days.go_by(120.0, one, two, blind=(one,)) == OPEN
    assert days.go_by(120.0, one, two, blind=(two,)) == OPEN


def test_what_a_dead_collector_could_not_judge_counts_no_more(town: Town, days: Days) -> None:
    one, two = town.site("one", RULES), town.site("two", RULES)
    assert days.go_by(120.0, one, two, blind=(two,)) == OPEN
    town.silence(two)
    assert days.go_by(60.0, one) == OVER


def test_the_next_lead_and_one_that_starts_anew_go_on_with_the_ticket(town: Town, days: Days) -> None:
    one, two, three = (town.site(name, RULES) for name in ("one", "two", "three"))
    assert days.go_by(120.0, one, two, three, blind=(three,)) == OPEN
    told = town.told()
    town.silence(one)
    days.go_by(60.0, two, three, blind=(three,))
    assert two.custody.lead
    again = town.site("two", RULES, at=days.at)
    assert again.custody.lead
    assert days.go_by(60.0, again, three, blind=(three,)) == OPEN
    assert town.told() == told
    assert days.go_by(60.0, again, three) == OVER


def test_a_failing_rule_that_the_lead_does_not_have_is_a_ticket_too(town: Town, days: Days) -> None:
    one, two = town.site("one", HARMLESS), town.site("two", RULES)
    assert days.go_by(120.0, one, two, blind=(two,)) == OPEN
    assert days.go_by(60.0, one, two) == OVER


def test_a_collector_tells_only_of_what_it_could_not_judge_itself(town: Town, days: Days) -> None:
    one, two = town.site("one", RULES), town.site("two", RULES)
    days.go_by(30.0, one, two, blind=(two,))
    with town.store.read() as conn:
        told = {c.name: c.failing for c in collectors.collectors(conn)}
    assert told == {"one": frozenset(), "two": {("g", "Narrow")}}
