"""Hosts and their alerts go from collector to collector."""

import pytest
import sqlalchemy as sa

from collector.alerts.alert import AlertChanges, AlertState
from collector.ingest.custody import Custody
from collector.intake import Intake
from collector.labels import Labels
from collector.store import Store, StoreError
from collector.store import tables as t
from tests.collector.town import RULES, Town


@pytest.fixture
def town(store: Store) -> Town:
    return Town(store)


def test_a_pending_alert_goes_on_at_the_next_collector_from_when_it_began(town: Town) -> None:
    one, two = town.site("one"), town.site("two")
    one.connect("pc1", 1000.0)
    one.run(1000.0, 95.0)
    two.connect("pc1", 1006.0)
    two.run(1006.0, 95.0)
    assert town.tickets() == []
    two.run(1010.0, 95.0)
    assert town.tickets() == [("High", True)]
    (alert,) = two.schedule.alerts()
    assert (alert.state, alert.active_since, alert.episode) == (AlertState.FIRING, 1000.0, 1)


def test_a_firing_alert_changes_hands_without_a_word(town: Town) -> None:
    one, two = town.site("one"), town.site("two")
    one.connect("pc1", 1000.0)
    one.run(1000.0, 95.0)
    one.run(1010.0, 95.0)
    before = town.rows()
    two.connect("pc1", 1020.0)
    two.run(1020.0)
    two.run(1021.0, 95.0)
    one.look(1022.0)
    assert one.states() == []
    assert one.cut == {"pc1": 1}
    assert two.states() == [AlertState.FIRING]
    assert town.rows() == before
    two.run(1030.0, 1.0)
    assert town.tickets() == [("High", False)]


def test_a_collector_that_lost_a_host_writes_nothing_and_forgets_it(town: Town) -> None:
    one, two = town.site("one"), town.site("two")
    one.connect("pc1", 1000.0)
    one.connect("pc2", 1000.0)
    one.run(1000.0, 95.0)
    one.run(1010.0, 95.0)
    two.connect("pc1", 1011.0)
    before = town.rows()
    one.run(1012.0, 1.0)
    assert town.rows() == before
    assert one.states() == []
    assert one.cut == {"pc1": 1}
    one.run(1013.0, 95.0)
    one.run(1030.0, 95.0)
    assert town.rows() == before
    one.run(1040.0, 95.0, instance="pc2")
    one.run(1051.0, 95.0, instance="pc2")
    assert town.tickets() == [("High", True), ("High", True)]


def test_what_is_fenced_leaves_the_rest_of_the_commit_whole(town: Town) -> None:
    one, two = town.site("one"), town.site("two")
    for host in ("pc1", "pc2"):
        one.connect(host, 1000.0)
        one.head.set([Labels.of(__name__="m", instance=host)], [95.0], 1000.0)
    one.run(1000.0)
    two.connect("pc1", 1005.0)
    one.head.set([Labels.of(__name__="m", instance="pc1"), Labels.of(__name__="m", instance="pc2")], [95.0] * 2, 1011.0)
    one.run(1011.0)
    with town.store.read() as conn:
        assert list(conn.scalars(sa.select(t.ticket.c.instance))) == ["pc2"]
    assert [alert.labels.get("instance") for alert in one.schedule.alerts()] == ["pc2"]


def test_a_host_that_comes_back_to_the_same_collector_keeps_what_is_in_memory(town: Town) -> None:
    one = town.site("one")
    one.connect("pc1", 1000.0)
    one.run(1000.0, 95.0)
    one.run(1005.0, 97.0)
    one.connect("pc1", 1006.0)
    (alert,) = one.schedule.alerts()
    assert (alert.value, alert.last_true) == (97.0, 1005.0)


def test_a_host_that_was_elsewhere_in_between_is_taken_from_the_database(town: Town) -> None:
    one, two = town.site("one"), town.site("two")
    one.connect("pc1", 1000.0)
    one.run(1000.0, 95.0)
    two.connect("pc1", 1001.0)
    two.run(1002.0, 1.0)
    one.connect("pc1", 1003.0)
    assert one.states() == []
    one.run(1010.0, 95.0)
    assert town.tickets() == []


def test_only_the_lead_judges_what_belongs_to_no_host(town: Town) -> None:
    one, two = town.site("one"), town.site("two")
    two.run(1000.0, 9.0, instance="", name="total")
    assert two.states() == []
    assert town.tickets() == []
    one.run(1000.0, 9.0, instance="", name="total")
    assert town.tickets() == [("Many", True)]


def test_the_next_lead_goes_on_with_what_belongs_to_no_host(town: Town) -> None:
    one, two = town.site("one"), town.site("two")
    one.run(1000.0, 9.0, instance="", name="total")
    before = town.rows()
    town.silence(one)
    two.look(1005.0)
    two.run(1005.0, 9.0, instance="", name="total")
    assert two.custody.lead == 2
    assert two.states() == [AlertState.FIRING]
    one.run(1006.0, 1.0, instance="", name="total")
    assert one.states() == []
    assert one.custody.lead == 0
    one.look(1007.0)
    one.run(1008.0, 9.0, instance="", name="total")
    assert town.rows() == before
    two.run(1010.0, 1.0, instance="", name="total")
    assert town.tickets() == [("Many", False)]


def test_hosts_of_a_dead_collector_become_unknown_with_the_lead_until_they_connect(town: Town) -> None:
    one, two, three = town.site("one"), town.site("two"), town.site("three")
    two.connect("pc1", 1000.0)
    two.run(1000.0, 95.0)
    two.run(1010.0, 95.0)
    before = town.told()
    town.silence(two)
    one.look(1030.0)
    one.run(1031.0)
    one.run(1110.0)
    assert one.states() == [AlertState.FIRING]
    assert town.told() == before
    one.run(1121.0)
    (alert,) = one.schedule.alerts()
    assert alert.unknown_since is not None
    assert town.told() == [*before, "unknown"]
    three.connect("pc1", 1130.0)
    one.look(1131.0)
    assert one.states() == []
    three.run(1132.0, 95.0)
    assert town.told() == [*before, "unknown", "known"]
    assert town.tickets() == [("High", True)]


def test_a_woken_collector_gives_up_hosts_that_the_lead_took(town: Town) -> None:
    one, two = town.site("one"), town.site("two")
    two.connect("pc1", 1000.0)
    two.run(1000.0, 95.0)
    town.silence(two)
    one.look(1030.0)
    before = town.rows()
    two.run(1031.0, 95.0)
    assert town.rows() == before
    assert two.states() == []
    assert two.cut == {"pc1": 1}


def test_a_start_beside_a_living_collector_ends_nothing_of_its_hosts(town: Town) -> None:
    one = town.site("one")
    one.connect("pc1", 1000.0)
    one.run(1000.0, 95.0)
    one.run(1010.0, 95.0)
    before = town.rows()
    two = town.site("two", RULES.replace("m > 90", "m > 91"))
    two.run(1011.0)
    assert two.states() == []
    assert town.rows() == before


def test_a_start_alone_takes_everything_over_and_ends_what_has_no_rule(town: Town) -> None:
    one = town.site("one")
    one.connect("pc1", 1000.0)
    one.run(1000.0, 95.0)
    one.run(1010.0, 95.0)
    one.custody.leave()
    again = town.site("one")
    assert again.states() == [AlertState.FIRING]
    again.custody.leave()
    other = town.site("one", RULES.replace("m > 90", "m > 91"))
    other.run(1011.0)
    assert town.told()[-1] == "gone"


def test_a_killed_collector_is_followed_at_once_by_one_of_the_same_name(town: Town) -> None:
    one = town.site("one")
    one.connect("pc1", 1000.0)
    one.run(1000.0, 95.0)
    again = town.site("one")
    assert again.custody.lead == 2
    assert again.states() == [AlertState.PENDING]
    before = town.rows()
    one.run(1010.0, 95.0)
    assert town.rows() == before


def test_a_look_older_than_a_session_takes_nothing_away(town: Town) -> None:
    one, two = town.site("one"), town.site("two")
    two.connect("pc1", 999.0)
    seen = one.see()
    one.connect("pc1", 1000.0)
    one.run(1000.0, 95.0)
    one.custody.apply(one.schedule, 1001.0, seen)
    assert one.states() == [AlertState.PENDING]
    assert one.cut == {}


def test_a_new_computer_with_an_old_ones_instance_is_held_by_its_own_generation(town: Town) -> None:
    one = town.site("one")
    for _ in range(3):
        one.connect("pc1", 1000.0)
    one.custody.hold(one.schedule, 1001.0, "another", "pc1", 1, ())
    assert one.custody.owns(Labels.of(instance="pc1"))
    one.custody.hold(one.schedule, 1001.0, "another", "pc1", 1, ())
    assert one.states() == []


def test_a_commit_of_nothing_asks_the_database_nothing() -> None:
    custody = Custody(None, "id", "one")  # type: ignore[arg-type]
    assert custody.commit(Intake(None).judged)(AlertChanges(), 1.0) == ()  # type: ignore[arg-type]


def test_an_alert_named_after_its_collector_is_that_collectors_own(town: Town) -> None:
    rules = RULES.replace("alert: Many", "alert: Own").replace("total > 5", "own > 5")
    one, two = town.site("one", rules), town.site("two", rules)
    for site in (one, two):
        names = [Labels.of(__name__="own", collector=name) for name in ("one", "two", "gone")]
        site.head.set(names, [9.0] * 3, 1000.0)
        site.look(1000.0)
        site.run(1000.0)
    assert sorted(alert.labels.get("collector") or "" for alert in one.schedule.alerts()) == ["gone", "one"]
    assert [alert.labels.get("collector") for alert in two.schedule.alerts()] == ["two"]
    assert len(town.tickets()) == 3


def test_what_was_missed_is_told_by_the_holder_alone(town: Town) -> None:
    one, two = town.site("one"), town.site("two")
    one.connect("pc1", 1000.0)
    one.connect("pc2", 1000.0)
    two.connect("pc1", 1001.0)
    with town.store.write() as conn:
        assert one.custody.still(conn, ["pc1", "pc2", "nobody"]) == {"pc2"}
        assert two.custody.still(conn, ["pc1", "pc2"]) == {"pc1"}


def test_no_look_takes_back_the_end_of_a_collector(town: Town) -> None:
    one, two = town.site("one"), town.site("two")
    one.connect("pc1", 1000.0)
    one.custody.leave()
    with pytest.raises(StoreError, match="told its end"):
        one.see()
    two.look(1001.0)
    assert two.custody.lead == 2
    assert two.custody.owns(Labels.of(instance="pc1"))
