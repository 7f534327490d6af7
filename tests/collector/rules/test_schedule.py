from collections.abc import Sequence
from dataclasses import replace

import pytest

from collector.alerts.alert import Alert, AlertChanges, AlertState, EventKind
from collector.head import Head
from collector.labels import Labels
from collector.promql import evaluate, plan
from collector.rules.load import load_text
from collector.rules.model import Group
from collector.rules.report import GroupReport, RuleReport
from collector.rules.schedule import MOST_EVIDENCE, Schedule

RULES = """
groups:
  - name: g
    rules:
      - {record: twice, expr: m * 2}
      - {alert: Twice, expr: twice > 4, for: 10s}
      - {alert: Any, expr: 'ALERTS{alertname="Twice",alertstate="firing"} == 1'}
"""


class AwayError(Exception):
    """The database is away."""


class Desk:
    """A head, a schedule and a store that counts episodes and can be away."""

    def __init__(self, rules: str = RULES, alerts: Sequence[Alert] = (), started_at: float = 0.0) -> None:
        self.head = Head()
        self.timer = 0.0
        self.schedule = Schedule(groups(rules), alerts, started_at=started_at, timer=lambda: self.timer)
        self.rows: dict[str, Alert] = {alert.key: alert for alert in alerts}
        self.commits: list[AlertChanges] = []
        self.away = False

    def commit(self, changes: AlertChanges, _at: float) -> Sequence[Alert]:
        if self.away:
            raise AwayError
        self.commits.append(changes)
        stored = [replace(alert, episode=alert.episode or 7) for alert in changes.upserts]
        self.rows |= {alert.key: alert for alert in stored}
        for key in changes.deletes:
            self.rows.pop(key, None)
        return stored

    def run(self, at: float, value: float | None = None, name: str = "m", instance: str = "a") -> None:
        if value is not None:
            self.head.set([Labels.of(__name__=name, instance=instance)], [value], at)
        self.schedule.run(self.head.select, at, commit=self.commit, record=self.head.set)

    def query(self, expression: str, at: float) -> dict[str, float]:
        vector = evaluate(plan(expression), self.head.select, at).vector
        return dict(zip(map(str, vector.labels), map(float, vector.values), strict=True))

    def told(self) -> list[tuple[EventKind, str]]:
        return [(event.kind, event.rule_name) for changes in self.commits for event in changes.events]


def groups(text: str) -> tuple[Group, ...]:
    return load_text(text, "r.yml")


def one(expression: str = "m > 0", **fields: str) -> str:
    more = "".join(f", {name}: {value}" for name, value in fields.items())
    return f"groups:\n  - name: g\n    rules:\n      - {{alert: A, expr: '{expression}'{more}}}\n"


def test_rules_of_a_group_see_what_the_ones_before_them_wrote() -> None:
    desk = Desk()
    desk.run(0.0, 3.0)
    assert desk.query("twice", 0.0) == {'twice{instance="a"}': 6.0}
    assert desk.query("ALERTS", 0.0) == {'ALERTS{alertname="Twice",alertstate="pending",instance="a"}': 1.0}
    desk.run(10.0, 3.0)
    assert desk.told() == [(EventKind.FIRED, "Twice"), (EventKind.FIRED, "Any")]
    assert desk.query('ALERTS{alertstate="pending"}', 10.0) == {}
    assert desk.query('ALERTS_FOR_STATE{alertname="Twice"}', 10.0) == {
        'ALERTS_FOR_STATE{alertname="Twice",instance="a"}': 0.0
    }


def test_series_of_alerts_end_with_the_alert() -> None:
    desk = Desk(one())
    desk.run(0.0, 1.0)
    assert len(desk.query("ALERTS", 0.0)) == 1
    desk.run(1.0, 0.0)
    assert desk.query("ALERTS or ALERTS_FOR_STATE", 1.0) == {}


def test_there_is_one_commit_per_group_and_none_without_changes() -> None:
    desk = Desk(RULES + "  - name: h\n    rules:\n      - {alert: B, expr: m > 0}\n")
    desk.run(0.0, 3.0)
    assert len(desk.commits) == 2
    for at in range(1, 10):
        desk.run(float(at), 3.0)
    assert len(desk.commits) == 2


def test_a_commit_that_fails_leaves_the_state_as_it_was() -> None:
    desk = Desk(one())
    desk.away = True
    with pytest.raises(AwayError):
        desk.run(0.0, 1.0)
    assert desk.schedule.alerts() == ()
    desk.away = False
    desk.run(1.0, 1.0)
    assert desk.told() == [(EventKind.FIRED, "A")]
    desk.away = True
    with pytest.raises(AwayError):
        desk.run(2.0, 0.0)
    assert len(desk.schedule.alerts()) == 1
    desk.away = False
    desk.run(3.0, 0.0)
    assert desk.told()[1:] == [(EventKind.RECOVERED, "A")]


def test_a_group_whose_commit_fails_does_not_starve_the_ones_behind_it() -> None:
    desk = Desk(one() + "  - name: h\n    rules:\n      - {alert: B, expr: n > 0}\n")
    desk.head.set([Labels.of(__name__="n", instance="a")], [1.0], 0.0)
    desk.away = True
    with pytest.raises(AwayError):
        desk.run(0.0, 1.0)
    desk.away = False
    assert desk.schedule.next_due() == 0.0
    desk.run(0.5)
    assert desk.told() == [(EventKind.FIRED, "B")]


def test_alerts_carry_the_episode_the_store_counted() -> None:
    desk = Desk(one(), alerts=())
    desk.run(0.0, 1.0)
    assert [alert.episode for alert in desk.schedule.alerts()] == [7]


def test_groups_have_their_own_intervals_and_missed_turns_are_skipped_and_counted() -> None:
    slow = "  - name: slow\n    interval: 1m\n    rules:\n      - {record: r, expr: m}\n"
    desk = Desk(one() + slow, started_at=100.0)
    assert desk.schedule.next_due() == 100.0
    desk.run(100.0)
    assert desk.schedule.next_due() == 101.0
    desk.run(104.5)
    assert desk.schedule.next_due() == 105.0
    desk.run(160.0)
    fast, slow_report = desk.schedule.report()
    assert (fast.interval, fast.last_evaluation_at, fast.missed) == (1.0, 160.0, 3 + 55)
    assert (slow_report.interval, slow_report.last_evaluation_at, slow_report.missed) == (60.0, 160.0, 0)
    desk.run(160.5)
    assert desk.schedule.report()[0].last_evaluation_at == 160.0


def test_a_clock_that_went_back_does_not_stop_the_rules() -> None:
    desk = Desk(one(), started_at=10_000.0)
    desk.run(10_000.0, 0.0)
    desk.run(100.0)
    assert desk.schedule.report()[0].last_evaluation_at == 100.0


def test_without_groups_nothing_is_due() -> None:
    assert Desk("groups: []").schedule.next_due() == float("inf")


def test_a_failed_evaluation_changes_nothing_and_is_shown() -> None:
    desk = Desk(one("m * on () m > 0"))
    desk.run(0.0, 1.0)
    desk.head.set([Labels.of(__name__="m", instance="b")], [1.0], 1.0)
    desk.run(1.0, 1.0)
    (rule,) = desk.schedule.report()[0].rules
    assert (rule.health, rule.firing) == ("err", 1)
    assert rule.last_error
    assert len(desk.commits) == 1


def test_a_rule_that_fails_is_a_series_a_rule_can_watch() -> None:
    watch = "  - name: h\n    rules:\n      - {alert: Blind, expr: czuwak_collector_rule_failing == 1}\n"
    desk = Desk(one("m * on () m > 0") + watch)
    desk.run(0.0, 1.0)
    assert desk.told() == [(EventKind.FIRED, "A")]
    desk.head.set([Labels.of(__name__="m", instance="b")], [1.0], 1.0)
    desk.run(1.0, 1.0)
    assert desk.query("czuwak_collector_rule_failing == 1", 1.0) == {
        'czuwak_collector_rule_failing{group="g",rule="A"}': 1.0
    }
    assert desk.told()[-1] == (EventKind.FIRED, "Blind")


def test_no_word_of_a_rule_that_fails_elsewhere_says_that_it_works_until_it_does() -> None:
    desk, told = Desk(one()), list[tuple[str, float]]()

    def run(at: float) -> set[tuple[str, float]]:
        told.clear()
        desk.schedule.run(
            desk.head.select,
            at,
            commit=desk.commit,
            record=lambda series, values, _at: told.extend(
                (f"{one.get('group')}.{one.get('rule')}", value) for one, value in zip(series, values, strict=True)
            ),
        )
        return set(told)

    desk.schedule.hear(frozenset({("g", "A"), ("h", "B")}))
    assert run(0.0) == {("g.A", 1.0), ("h.B", 1.0)}
    assert run(0.5) == {("g.A", 1.0), ("h.B", 1.0)}  # before the next turn of its group
    assert desk.schedule.failing() == frozenset()
    desk.schedule.hear(frozenset())
    assert run(1.0) == {("g.A", 0.0), ("h.B", 0.0)}
    assert run(2.0) == {("g.A", 0.0)}


def test_the_report_counts_alerts_by_state() -> None:
    desk = Desk(one(**{"for": "10s"}))
    untouched = desk.schedule.report()[0].rules[0]
    assert (untouched.health, untouched.for_seconds) == ("unknown", 10.0)
    desk.run(0.0, 1.0)
    desk.run(10.0, 1.0, instance="b")
    desk.timer = 5.0
    rule = desk.schedule.report()[0].rules[0]
    counts = RuleReport("A", "m > 0", "alert", 10.0, "ok", "", pending=1, firing=1, unknown=0)
    expected = replace(counts, uid=rule.uid, labels=rule.labels, line=rule.line)
    assert desk.schedule.report() == (GroupReport("g", "r.yml", 1.0, 10.0, 0.0, 9, (expected,)),)
    desk.run(400.0, 1.0, instance="b")
    desk.run(500.0, 1.0, instance="b")
    assert desk.schedule.report()[0].rules[0].unknown == 1


def test_two_rules_cannot_own_one_alert() -> None:
    second = "  - name: h\n    rules:\n      - {alert: A, expr: m > 1}\n      - {alert: A, expr: m > 2}\n"
    desk = Desk(one() + second)
    desk.run(0.0, 5.0)
    first, other = desk.schedule.report()
    assert first.rules[0].health == "ok"
    assert [rule.health for rule in other.rules] == ["err", "err"]
    assert "belongs to another rule" in other.rules[0].last_error
    assert len(desk.rows) == 1


def test_stored_alerts_go_on_after_a_start() -> None:
    first = Desk(one(**{"for": "60s"}))
    first.run(0.0, 1.0)
    second = Desk(one(**{"for": "60s"}), alerts=tuple(first.rows.values()), started_at=50.0)
    second.run(55.0, 1.0)
    assert second.commits == []
    second.run(60.0, 1.0)
    assert [(event.kind, event.started_at) for event in second.commits[0].events] == [(EventKind.FIRED, 0.0)]


def test_stored_alerts_of_rules_that_are_gone_end_once_at_the_start() -> None:
    first = Desk(one())
    first.run(0.0, 1.0)
    second = Desk(one("m > 1"), alerts=tuple(first.rows.values()), started_at=50.0)
    second.away = True
    with pytest.raises(AwayError):
        second.run(50.0, 1.0)
    second.away = False
    second.run(51.0, 1.0)
    second.run(52.0, 1.0)
    assert second.told() == [(EventKind.GONE, "A")]
    assert second.rows == {}


def test_a_reload_keeps_the_states_of_rules_that_stay() -> None:
    desk = Desk(one(**{"for": "60s"}))
    desk.run(0.0, 1.0)
    changes = desk.schedule.replace(groups(one(**{"for": "60s"}).replace("name: g", "name: h")), 20.0)
    assert changes == AlertChanges(deletes=tuple(desk.rows))  # another group is another rule
    desk = Desk(one(**{"for": "60s"}))
    desk.run(0.0, 1.0)
    assert not desk.schedule.replace(groups(one(**{"for": "30s", "annotations": "{summary: new}"})), 20.0)
    desk.run(30.0, 1.0)
    assert desk.told() == [(EventKind.FIRED, "A")]
    assert desk.commits[-1].events[0].annotations == {"summary": "new"}


def test_a_reload_ends_the_alerts_of_rules_that_are_gone_and_their_series() -> None:
    desk = Desk(one())
    desk.run(0.0, 1.0)
    changes = desk.schedule.replace(groups(one("m > 0.5")), 1.0)
    assert [(event.kind, event.rule_name) for event in changes.events] == [(EventKind.GONE, "A")]
    assert changes.deletes == tuple(desk.rows)
    desk.commit(changes, 1.0)
    desk.run(2.0, 0.0)
    assert desk.query("ALERTS", 2.0) == {}


def test_the_ticket_about_a_failing_rule_recovers_when_the_rule_is_taken_out() -> None:
    watch = "  - name: h\n    rules:\n      - {alert: Blind, expr: czuwak_collector_rule_failing == 1}\n"
    desk = Desk(one("m * on () m > 0") + watch)
    desk.head.set([Labels.of(__name__="m", instance="b")], [1.0], 0.0)
    desk.run(0.0, 1.0)
    desk.schedule.replace(groups("groups:\n" + watch), 1.0)
    desk.run(1.0)
    assert desk.told() == [(EventKind.FIRED, "Blind"), (EventKind.RECOVERED, "Blind")]


def test_an_alert_that_fires_brings_its_chart_and_the_threshold() -> None:
    desk = Desk(one("m / 2 > 4"))
    for at in range(0, 600, 15):
        desk.head.set([Labels.of(__name__="m", instance="a")], [float(at > 500) * 10], float(at))
    desk.run(600.0, 10.0)
    evidence = desk.commits[0].events[0].evidence
    assert evidence is not None
    assert (evidence.expression, evidence.threshold, evidence.comparison) == ("m / 2 > 4", 4.0, ">")
    (line,) = evidence.lines
    assert (line.labels, line.at[-1], line.values[0], line.values[-1]) == (Labels.of(instance="a"), 600.0, 0.0, 5.0)


def test_charts_are_bounded_when_much_breaks_at_once() -> None:
    desk = Desk(one())
    desk.head.set([Labels.of(__name__="m", instance=str(n)) for n in range(80)], [1.0] * 80, 0.0)
    desk.run(0.0)
    with_chart = [event for event in desk.commits[0].events if event.evidence is not None]
    assert (len(desk.commits[0].events), len(with_chart)) == (80, MOST_EVIDENCE)


def test_a_recording_that_ends_is_marked_stale() -> None:
    desk = Desk("groups:\n  - name: g\n    rules:\n      - {record: r, expr: m > 1}\n")
    desk.run(0.0, 2.0)
    assert desk.query("r", 0.0) == {'r{instance="a"}': 2.0}
    desk.run(1.0, 0.0)
    assert desk.query("r", 1.0) == {}


def test_group_labels_limit_and_offset_hold() -> None:
    text = "groups:\n  - name: g\n    limit: 1\n    query_offset: 10s\n    labels: {team: infra}\n    rules:\n"
    desk = Desk(text + "      - {alert: A, expr: m > 0}\n      - {record: r, expr: m}\n")
    desk.run(0.0, 1.0)
    desk.run(9.0)
    assert desk.schedule.alerts() == ()
    desk.run(10.0)
    (alert,) = desk.schedule.alerts()
    assert (alert.labels, alert.active_since, alert.state) == (
        Labels.of(alertname="A", instance="a", team="infra"), 10.0, AlertState.FIRING,
    )  # fmt: skip
    assert desk.query("r", 10.0) == {'r{instance="a",team="infra"}': 1.0}
    desk.run(11.0, 1.0, instance="b")
    desk.run(25.0, 1.0, instance="b")
    assert [rule.health for rule in desk.schedule.report()[0].rules] == ["err", "err"]
    assert "more than the limit of 1" in desk.schedule.report()[0].rules[1].last_error


def test_a_query_offset_moves_what_is_seen_and_what_is_written_but_not_when_it_began() -> None:
    rules = """
groups:
  - name: g
    query_offset: 30s
    rules:
      - {record: twice, expr: m * 2}
      - {alert: A, expr: twice > 4, for: 10s}
"""
    desk = Desk(rules)
    desk.run(0.0, 3.0)
    assert desk.schedule.alerts() == ()
    desk.run(30.0)
    (alert,) = desk.schedule.alerts()
    assert (alert.active_since, alert.value) == (30.0, 6.0)
    assert desk.query("timestamp(twice)", 30.0) == {'{instance="a"}': 0.0}
    assert desk.query("timestamp(ALERTS)", 30.0) == {'{alertname="A",alertstate="pending",instance="a"}': 0.0}
    desk.run(40.0)
    assert desk.told() == [(EventKind.FIRED, "A")]


def test_group_labels_are_templates_and_the_rules_own_beat_them() -> None:
    rules = """
groups:
  - name: g
    labels: {team: 'of {{ $labels.instance }}', tier: gold}
    rules:
      - {alert: A, expr: m > 0, labels: {tier: silver}}
"""
    desk = Desk(rules)
    desk.run(0.0, 3.0)
    assert [str(alert.labels) for alert in desk.schedule.alerts()] == [
        '{alertname="A",instance="a",team="of a",tier="silver"}'
    ]


def test_a_rule_that_changes_is_told_apart_from_one_that_goes() -> None:
    desk = Desk(one())
    desk.run(0.0, 3.0)
    (changed,) = desk.schedule.replace(groups(one("m > 1")), 1.0).events
    desk.run(1.0, 3.0)
    (removed,) = desk.schedule.replace(groups(one("m > 1").replace("alert: A", "alert: B")), 2.0).events
    assert (changed.kind, changed.reason) == (EventKind.GONE, "rule changed")
    assert (removed.kind, removed.reason) == (EventKind.GONE, "rule removed")


def test_groups_of_one_interval_are_judged_one_after_the_other_within_it() -> None:
    text = "groups:" + "".join(
        f"\n  - {{name: g{n}, interval: {i}, rules: [{{record: r{n}, expr: m}}]}}"
        for n, i in enumerate(("15s", "15s", "15s", "1s", "1m"))
    )
    head = Head()
    schedule = Schedule(groups(text), (), started_at=0.0, spread=True)
    judged: dict[str, list[int]] = {}
    for second in range(71):
        head.set([Labels.of(__name__="m", instance="a")], [1.0], float(second))
        schedule.run(head.select, float(second), commit=lambda _changes, _at: (), record=head.set)
        for group in schedule.report():
            if group.last_evaluation_at == second:
                judged.setdefault(group.name, []).append(second)
    assert judged.pop("g3") == list(range(71))
    assert judged == {
        "g0": [0, 5, 20, 35, 50, 65],
        "g1": [0, 10, 25, 40, 55, 70],
        "g2": [0, 15, 30, 45, 60],
        "g4": [0, 60],
    }
    assert sum(group.missed for group in schedule.report()) == 0
