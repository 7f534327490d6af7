import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from collector.alerts.alert import Alert, AlertState, EventKind
from collector.head import STALE, Head
from collector.labels import Labels
from collector.promql import evaluate, plan
from collector.rules.alerting import Context, State, Step, restore, step
from collector.rules.errors import RuleError
from collector.rules.model import AlertRule
from collector.rules.schedule import rules_key

FIRED, RECOVERED, GONE = EventKind.FIRED, EventKind.RECOVERED, EventKind.GONE
UNKNOWN, KNOWN, CHANGED = EventKind.UNKNOWN, EventKind.KNOWN, EventKind.CHANGED


class Bench:
    """One rule over a real head; every call to `at` is one evaluation."""

    def __init__(self, expression: str = "m > 0", **more: object) -> None:
        given = {"uid": "u", "labels": {"severity": "warning"}, "annotations": {"summary": "{{ $value }}"}, **more}
        self.rule = AlertRule("A", expression, plan(expression), **given)  # type: ignore[arg-type]
        self.head = Head()
        self.state = State()
        self.online = True
        self.context = Context(key_of=rules_key, started_at=0.0, host_online=lambda _labels: self.online)
        self.last = Step

    def at(self, when: float, values: Mapping[str, float | None] | float | None = None) -> Step:
        """Values by instance (one number: of instance a); None ends the series."""
        given = values if isinstance(values, Mapping) else {"a": values}
        series = [Labels.of(__name__="m", instance=name) for name in given]
        numbers = [STALE if value is None else value for value in given.values()]
        self.head.set(series, numbers, when)
        taken = step(self.rule, self.state, evaluate(self.rule.plan, self.head.select, when), when, self.context)
        self.state = taken.state
        return taken

    @property
    def alert(self) -> Alert:
        (alert,) = self.state.alerts.values()
        return alert

    def restart(self, upserts: Mapping[str, Alert], started_at: float) -> None:
        self.state = restore(upserts.values())
        self.context = replace(self.context, started_at=started_at)


def kinds(taken: Step) -> list[EventKind]:
    return [told.kind for told in taken.changes.events]


def test_without_for_an_alert_fires_at_once_and_says_all_it_knows() -> None:
    bench = Bench(for_seconds=0.0, annotations={"summary": "{{ $labels.instance }} has {{ $value }}"})
    taken = bench.at(10.0, 2.5)
    (told,) = taken.changes.events
    labels = Labels.of(alertname="A", instance="a", severity="warning")
    assert (told.kind, told.source, told.key, told.labels) == (FIRED, "rules", rules_key(labels), labels)
    assert (told.value, told.at, told.started_at, told.rule, told.rule_name) == (2.5, 10.0, 10.0, "u", "A")
    assert (told.expression, told.annotations) == ("m > 0", {"summary": "a has 2.5"})
    assert taken.changes.upserts == (bench.alert,)
    assert (bench.alert.state, bench.alert.fired_at) == (AlertState.FIRING, 10.0)


def test_an_alert_is_pending_until_for_is_over() -> None:
    bench = Bench(for_seconds=30.0)
    assert bench.at(0.0, 1).changes.upserts == (bench.alert,)
    assert bench.alert.state is AlertState.PENDING
    assert not bench.at(29.0, 1).changes
    assert kinds(bench.at(30.0, 1)) == [FIRED]
    assert (bench.alert.active_since, bench.alert.fired_at) == (0.0, 30.0)


def test_a_pending_alert_that_is_false_is_deleted_at_once_without_a_word() -> None:
    bench = Bench(for_seconds=30.0)
    key = bench.at(0.0, 1).changes.upserts[0].key
    taken = bench.at(15.0, 0)
    assert (taken.changes.deletes, taken.changes.events, bench.state.alerts) == ((key,), (), {})


def test_a_steady_alert_writes_nothing_and_is_fresh_in_memory() -> None:
    bench = Bench()
    bench.at(0.0, 1)
    for when in range(1, 50):
        assert not bench.at(float(when), when).changes
    assert (bench.alert.value, bench.alert.last_true, bench.alert.annotations) == (49.0, 49.0, {"summary": "49"})


def test_a_firing_alert_recovers_only_when_its_series_is_there_and_does_not_match() -> None:
    bench = Bench()
    key = bench.at(0.0, 1).changes.upserts[0].key
    assert not bench.at(15.0, None).changes
    taken = bench.at(30.0, 0)
    assert (kinds(taken), taken.changes.deletes) == ([RECOVERED], (key,))
    assert bench.state.alerts == {}


def test_keep_firing_for_holds_an_alert_from_its_first_false_evaluation() -> None:
    bench = Bench(keep_firing_for=60.0)
    bench.at(0.0, 1)
    assert bench.at(15.0, 0).changes.upserts[0].keep_since == 15.0
    assert not bench.at(30.0, 0).changes
    assert bench.at(45.0, 1).changes.upserts[0].keep_since is None
    assert bench.at(60.0, 0).changes.upserts[0].keep_since == 60.0
    assert not bench.at(119.0, 0).changes
    assert kinds(bench.at(120.0, 0)) == [RECOVERED]


def test_no_data_is_told_once_and_freezes_the_alert() -> None:
    bench = Bench()
    bench.at(0.0, 1)
    bench.at(15.0, 1)
    assert not bench.at(30.0, None).changes
    assert not bench.at(105.0, None).changes
    taken = bench.at(106.0, None)
    assert kinds(taken) == [UNKNOWN]
    assert taken.changes.upserts[0].unknown_since == 15.0
    for when in range(107, 200):
        assert not bench.at(float(when), None).changes
    taken = bench.at(200.0, 1)
    assert (kinds(taken), taken.changes.upserts[0].unknown_since) == ([KNOWN], None)


def test_data_that_comes_back_false_recovers() -> None:
    bench = Bench()
    bench.at(0.0, 1)
    bench.at(10.0, None)
    assert kinds(bench.at(100.0, None)) == [UNKNOWN]
    assert kinds(bench.at(200.0, 0)) == [RECOVERED]


def test_data_that_comes_back_false_is_known_first_while_keep_firing_for_holds() -> None:
    bench = Bench(keep_firing_for=60.0)
    bench.at(0.0, 1)
    bench.at(10.0, None)
    bench.at(100.0, None)
    taken = bench.at(200.0, 0)
    assert (kinds(taken), taken.changes.upserts[0].keep_since) == ([KNOWN], 200.0)
    assert kinds(bench.at(260.0, 0)) == [RECOVERED]


def test_no_data_since_is_the_last_false_evaluation_when_it_was_false_last() -> None:
    bench = Bench(keep_firing_for=600.0)
    bench.at(0.0, 1)
    bench.at(10.0, 0)
    bench.at(50.0, 0)
    assert not bench.at(140.0, None).changes
    assert bench.at(141.0, None).changes.upserts[0].unknown_since == 50.0


def test_nothing_is_unknown_before_the_collector_has_run_for_a_while() -> None:
    bench = Bench()
    upserts = {alert.key: alert for alert in bench.at(0.0, 1).changes.upserts}
    bench.restart(upserts, started_at=10_000.0)
    assert not bench.at(10_001.0, None).changes
    assert not bench.at(10_090.0, None).changes
    assert kinds(bench.at(10_091.0, None)) == [UNKNOWN]


def test_the_for_clock_goes_on_over_a_restart() -> None:
    bench = Bench(for_seconds=60.0)
    upserts = {alert.key: alert for alert in bench.at(0.0, 1).changes.upserts}
    bench.restart(upserts, started_at=40.0)
    assert not bench.at(45.0, 1).changes
    taken = bench.at(60.0, 1)
    assert (kinds(taken), taken.changes.events[0].started_at) == ([FIRED], 0.0)


def test_a_firing_alert_is_not_told_again_after_a_restart() -> None:
    bench = Bench()
    upserts = {alert.key: alert for alert in bench.at(0.0, 1).changes.upserts}
    bench.restart(upserts, started_at=30.0)
    assert not bench.at(31.0, 1).changes


def test_a_long_gap_does_not_count_for_a_pending_alert() -> None:
    bench = Bench(for_seconds=300.0)
    bench.at(0.0, 1)
    bench.at(60.0, 1)
    bench.at(75.0, None)
    taken = bench.at(200.0, None)
    assert (kinds(taken), taken.changes.upserts[0].unknown_since) == ([], 60.0)
    assert bench.at(5060.0, 1).changes.upserts[0].active_since == 5000.0
    assert not bench.at(5299.0, 1).changes
    assert kinds(bench.at(5300.0, 1)) == [FIRED]


def test_an_object_that_is_gone_from_a_host_that_is_there_ends_after_gone_after() -> None:
    bench = Bench()
    bench.at(0.0, {"a": 1, "b": 0})
    assert not bench.at(10.0, {"a": None, "b": 0}).changes
    assert kinds(bench.at(101.0, {"b": 0})) == [UNKNOWN]
    assert not bench.at(3610.0, {"b": 0}).changes
    taken = bench.at(3611.0, {"b": 0})
    assert (kinds(taken), len(taken.changes.deletes), bench.state.alerts) == ([GONE], 1, {})


def test_an_object_is_not_gone_while_its_host_is_away() -> None:
    bench = Bench()
    bench.at(0.0, 1)
    bench.online = False
    bench.at(10.0, None)
    bench.at(101.0, None)
    assert not bench.at(50_000.0, None).changes
    bench.online = True
    assert not bench.at(50_001.0, None).changes
    assert not bench.at(53_601.0, None).changes
    assert kinds(bench.at(53_602.0, None)) == [GONE]


def test_rule_labels_are_templates_that_override_and_the_name_comes_last() -> None:
    bench = Bench(labels={"instance": "x-{{ $labels.instance }}", "alertname": "other", "size": "{{ $value }}"})
    bench.at(0.0, 3)
    assert bench.alert.labels == Labels.of(alertname="A", instance="x-a", size="3")


def test_an_alert_recovers_though_a_rule_label_hides_one_of_its_series() -> None:
    bench = Bench(labels={"instance": "all"})
    bench.at(0.0, 1)
    assert kinds(bench.at(15.0, 0)) == [RECOVERED]


def test_an_alert_s_name_and_key_are_found_out_once() -> None:
    bench, asked = Bench(), list[Labels]()

    def key_of(labels: Labels) -> str:
        asked.append(labels)
        return rules_key(labels)

    bench.context = replace(bench.context, key_of=key_of)
    for when in (1.0, 2.0, 3.0):
        bench.at(when, {"a": when, "b": when})
    assert [labels.get("instance") for labels in asked[:2]] == ["a", "b"]
    assert bench.state.named.keys() == {Labels.of(__name__="m", instance=name) for name in "ab"}
    known = len(asked)
    bench.at(4.0, {"a": 1.0, "b": None})
    assert len(asked) == known
    assert len(bench.state.named) == 1


def test_a_name_that_says_the_value_is_made_anew() -> None:
    bench = Bench(labels={"severity": "info", "level": "{{ $value }}"})
    bench.at(1.0, 1)
    bench.at(2.0, 7)
    assert "7" in {alert.labels.get("level") for alert in bench.state.alerts.values()}


def test_group_labels_are_beaten_by_rule_labels() -> None:
    bench = Bench(labels={"severity": "critical"})
    bench.context = replace(bench.context, group_labels={"severity": "info", "team": "infra"})
    bench.at(0.0, 1)
    assert bench.alert.labels == Labels.of(alertname="A", instance="a", severity="critical", team="infra")
    assert kinds(bench.at(1.0, 0)) == [RECOVERED]


def test_two_alerts_with_one_label_set_change_nothing() -> None:
    bench = Bench(labels={"instance": "all"})
    bench.at(0.0, {"a": 1, "b": 0})
    before = bench.state
    with pytest.raises(RuleError, match="two results with the same labels"):
        bench.at(15.0, {"a": 1, "b": 1})
    assert bench.state is before


def test_more_alerts_than_the_limit_change_nothing() -> None:
    bench = Bench()
    bench.context = replace(bench.context, limit=2)
    bench.at(0.0, {"a": 1, "b": 1, "c": 0})
    with pytest.raises(RuleError, match="3 alerts, more than the limit of 2"):
        bench.at(15.0, {"a": 1, "b": 1, "c": 1})
    assert len(bench.state.alerts) == 2


def test_no_rule_has_more_than_a_thousand_alerts() -> None:
    bench = Bench()
    with pytest.raises(RuleError, match="1001 alerts, more than the limit of 1000"):
        bench.at(0.0, {str(n): 1 for n in range(1001)})


def test_a_value_that_is_not_a_number_says_nothing() -> None:
    bench = Bench("m")
    bench.at(0.0, 1)
    assert not bench.at(15.0, math.nan).changes
    assert kinds(bench.at(91.0, math.nan)) == [UNKNOWN]


def test_an_infinite_value_is_shown_as_such_and_kept_finite() -> None:
    bench = Bench()
    bench.at(0.0, math.inf)
    assert math.isfinite(bench.alert.value)
    assert bench.alert.annotations == {"summary": "+Inf"}


def test_a_change_of_severity_among_the_annotations_is_told() -> None:
    bench = Bench(annotations={"severity": "level {{ $value }}", "summary": "{{ $value }}"})
    bench.at(0.0, 1)
    assert not bench.at(1.0, 1).changes
    taken = bench.at(2.0, 2)
    assert (kinds(taken), taken.changes.upserts) == ([CHANGED], (bench.alert,))


def test_a_template_error_does_not_stop_the_alert() -> None:
    bench = Bench(annotations={"summary": "{{ query }}"})
    assert kinds(bench.at(0.0, 1)) == [FIRED]
    assert bench.alert.annotations["summary"].startswith("<error expanding template:")


def test_without_need_of_proof_a_missing_series_recovers() -> None:
    bench = Bench()
    bench.context = replace(bench.context, needs_proof=False)
    bench.at(0.0, 1)
    assert kinds(bench.at(15.0, None)) == [RECOVERED]
