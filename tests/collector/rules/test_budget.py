"""What a rule may cost, and what happens to one that costs more."""

from collections.abc import Sequence

import pytest

from collector.alerts.alert import Alert, AlertChanges
from collector.head import Head, Match, Matcher
from collector.labels import Labels
from collector.promql import evaluate, plan
from collector.rules import budget
from collector.rules.budget import REST, STRIKES, Breaker, BudgetError, Effort, allowance, bounded
from collector.rules.load import load_text
from collector.rules.schedule import Schedule

RULES = """
groups:
  - name: g
    interval: 10s
    rules:
      - {alert: Slow, expr: m > 0}
      - {alert: Other, expr: m > 1}
"""
FAST = "groups: [{name: h, interval: 10s, rules: [{alert: Fast, expr: m > 0}]}]"


class Rig:
    """A schedule whose rules cost what `costs` says, by the metric they read."""

    def __init__(self, rules: str = RULES) -> None:
        self.head = Head()
        self.worked = 0.0
        self.cost = 0.0
        self.schedule = Schedule(load_text(rules, "r.yml"), (), started_at=0.0, work=lambda: self.worked)

    def select(self, matchers: Sequence[Matcher], start: float, end: float) -> object:
        self.worked += self.cost
        return self.head.select(matchers, start, end)

    def run(self, at: float, value: float = 1.0) -> dict[str, str]:
        """Errors by rule."""
        self.head.set([Labels.of(__name__="m", instance="a")], [value], at)
        self.schedule.run(self.select, at, commit=self.commit, record=self.head.set)  # type: ignore[arg-type]
        return {rule.name: rule.last_error for group in self.schedule.report() for rule in group.rules}

    @staticmethod
    def commit(changes: AlertChanges, _at: float) -> tuple[Alert, ...]:
        return changes.upserts

    def failing(self, at: float) -> dict[str, float]:
        found = evaluate(plan("czuwak_collector_rule_failing"), self.head.select, at).vector
        return {labels.get("rule"): float(value) for labels, value in zip(found.labels, found.values, strict=True)}


def test_a_group_has_less_than_its_interval() -> None:
    assert allowance(60.0) == 48.0
    assert allowance(0.01) == 0.5


def test_rules_behind_the_groups_deadline_are_left_out_and_told() -> None:
    rig = Rig()
    rig.cost = 9.0
    assert rig.run(0.0) == {"Slow": "", "Other": "left out: the rules of its group need more than 8 s of work"}
    assert rig.failing(0.0) == {"Slow": 0.0, "Other": 1.0}
    rig.cost = 0.0
    assert rig.run(10.0) == {"Slow": "", "Other": ""}


def test_a_rule_that_is_too_slow_again_and_again_is_switched_off_and_gets_one_more_chance() -> None:
    rig = Rig(FAST)
    rig.cost = 9.0
    for turn in range(STRIKES):
        assert rig.run(turn * 10.0) == {"Fast": ""}
    off_from = (STRIKES - 1) * 10.0
    told = rig.run(off_from + 10.0)["Fast"]
    assert told.startswith("switched off, it broke its budget 3 times in a row: ")
    assert told.endswith(" s of work every 10s")
    assert rig.failing(off_from + 10.0) == {"Fast": 1.0}
    worked = rig.worked
    rig.run(off_from + 20.0)
    assert rig.worked == worked
    assert rig.run(off_from + REST) == {"Fast": ""}  # the chance, not taken
    assert "switched off" in rig.run(off_from + REST + 10.0)["Fast"]
    rig.cost = 0.0
    assert rig.run(off_from + 2 * REST) == {"Fast": ""}
    assert rig.run(off_from + 2 * REST + 10.0) == {"Fast": ""}
    assert rig.failing(off_from + 2 * REST + 10.0) == {"Fast": 0.0}


def test_a_rule_that_is_switched_off_keeps_its_alerts() -> None:
    rig = Rig(FAST)
    rig.cost = 9.0
    for turn in range(STRIKES + 1):
        rig.run(turn * 10.0)
    assert len(rig.schedule.alerts()) == 1
    rig.run((STRIKES + 1) * 10.0, 0.0)
    assert len(rig.schedule.alerts()) == 1


def test_one_slow_evaluation_is_forgiven() -> None:
    rig = Rig(FAST)
    for turn in range(20):
        rig.cost = 9.0 if turn % STRIKES else 0.0
        assert rig.run(turn * 10.0) == {"Fast": ""}


def test_a_reload_gives_another_chance() -> None:
    rig = Rig(FAST)
    rig.cost = 9.0
    for turn in range(STRIKES + 1):
        rig.run(turn * 10.0)
    rig.schedule.replace(load_text(FAST, "r.yml"), 40.0)
    assert rig.run(40.0) == {"Fast": ""}


def test_samples_are_counted_before_they_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head()
    head.set([Labels.of(__name__="m", instance=str(n)) for n in range(10)], [1.0] * 10, 0.0)
    wanted = (Matcher("__name__", Match.EQUAL, "m"),)
    select = bounded(head.select, 10 * 60 / budget.SAMPLE_INTERVAL)
    assert select(wanted, -30.0, 0.0).frame.size == 10
    assert select(wanted, -30.0, 0.0).frame.size == 10
    with pytest.raises(BudgetError, match="more than 40 samples"):
        select(wanted, -30.0, 0.0)
    monkeypatch.setattr(bounded, "__defaults__", (5.0,))
    rig = Rig(FAST)
    told = [rig.run(turn * 10.0)["Fast"] for turn in range(STRIKES + 1)]
    assert told[0] == "more than 5 samples in one evaluation"
    assert "switched off" in told[-1]


def test_a_breaker_counts_in_a_row() -> None:
    breaker = Breaker()
    for at in (0.0, 1.0):
        assert not breaker.strike("x", at)
        breaker.check(at)
    assert breaker.strike("x", 2.0)
    with pytest.raises(BudgetError, match="3 times in a row: x"):
        breaker.check(3.0)
    breaker.check(2.0 + REST)
    breaker.clear()
    assert breaker == Breaker()


def test_work_is_asked_for_every_few_milliseconds_and_counted_on_in_between() -> None:
    asked: list[float] = []
    now = {"wall": 100.0, "work": 7.0}

    def work() -> float:
        asked.append(now["wall"])
        return now["work"]

    effort = Effort(work, lambda: now["wall"])
    assert effort() == 7.0
    now.update(wall=100.004, work=7.001)
    assert effort() == pytest.approx(7.004)
    now.update(wall=160.0, work=7.002)  # the machine was busy with others
    assert effort() == pytest.approx(7.002)
    assert asked == [100.0, 160.0]
