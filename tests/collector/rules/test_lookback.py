"""The past is stepped through with as few steps as possible; a step for every look says what they have to find."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.alerts.alert import AlertState, EventKind
from collector.head import Head
from collector.head.decode import column
from collector.labels import NAME, Labels
from collector.promql import evaluate_steps
from collector.rules.alerting import Context, State, step
from collector.rules.load import load_text
from collector.rules.lookback import Lookback, pace
from collector.rules.model import AlertRule, Group
from collector.rules.schedule import rules_key

START = 1_800_000_000.0
RULES = """
groups:
- name: g
  rules:
  - {alert: Now, expr: level > 90}
  - {alert: Held, expr: level > 90, for: 3m}
  - {alert: Kept, expr: level > 90, for: 1m, keep_firing_for: 5m}
  - {alert: Named, expr: level > 90, labels: {at: "{{ $value }}"}}
"""
HIGH = {"low": 10.0, "high": 95.0, "higher": 99.0}


class Told(NamedTuple):
    """One alert as it stood at its end, or at the end of all."""

    key: str
    start: float
    fired_at: float | None
    last_true: float
    value: float
    over: bool


def courses() -> st.SearchStrategy[list[list[str]]]:
    """What three hosts' levels were, minute by minute, mostly in long runs of the same; or nothing."""
    run = st.tuples(st.sampled_from([*HIGH, "", "nan"]), st.integers(1, 12)).map(lambda r: [r[0]] * r[1])
    one = st.lists(run, min_size=1, max_size=8).map(lambda runs: [level for run in runs for level in run])
    return st.lists(one, min_size=1, max_size=3)


def memory(hosts: list[list[str]]) -> Head:
    head = Head(retention=7200.0)
    for number, levels in enumerate(hosts):
        labels = Labels.of({NAME: "level", "instance": f"h{number}", "company": "acme"})
        head.register(f"h{number}", b"s", [labels])
        for minute, level in enumerate(levels):
            at = START + 60.0 * minute + 1.0
            if level:
                head.append(f"h{number}", b"s", at, *column([HIGH.get(level, float("nan"))]))
            elif minute and levels[minute - 1]:
                head.mark_stale(f"h{number}", at)
    return head


def by_every_look(groups: tuple[Group, ...], head: Head, through: float) -> set[Told]:
    found: set[Told] = set()
    for rule in groups[0].rules:
        assert isinstance(rule, AlertRule)
        context = Context(key_of=rules_key, started_at=START, host_online=lambda _labels: False)
        every = pace(rule)
        state = State()
        for at, result in evaluate_steps(rule.plan, head.select, START + every, through, every):
            taken = step(rule, state, result, at, context)
            for event in taken.changes.events:
                if event.kind is EventKind.RECOVERED:
                    alert = state.alerts[event.key]
                    end = min(at, alert.last_true + every)
                    found.add(Told(alert.key, alert.active_since, alert.fired_at, end, alert.value, over=True))
            state = taken.state
        found |= {
            Told(a.key, a.active_since, a.fired_at, a.last_true, a.value, over=False) for a in state.alerts.values()
        }
    return found


@settings(deadline=None)
@given(hosts=courses(), pieces=st.lists(st.integers(1, 30), max_size=4))
def test_looks_that_are_passed_over_change_nothing(hosts: list[list[str]], pieces: list[int]) -> None:
    groups, head = tuple(load_text(RULES, "r.yml")), memory(hosts)
    minutes = max(map(len, hosts)) + 2
    lookback = Lookback(groups, key_of=rules_key, start=START)
    found: set[Told] = set()
    for minute in sorted({*(m for m in pieces if m < minutes), minutes}):
        for episodes in lookback.sweep(head.select, START + 60.0 * minute, head.set):
            for one in episodes:
                alert = one.alert
                found.add(Told(alert.key, one.start, alert.fired_at, one.end, alert.value, over=True))
    for number in range(len(hosts)):
        for alert in lookback.leave(f"h{number}").alive:
            found.add(Told(alert.key, alert.active_since, alert.fired_at, alert.last_true, alert.value, over=False))
    assert found == by_every_look(groups, head, START + 60.0 * minutes)
    assert not any(lookback.leave(f"h{number}").alive for number in range(len(hosts)))
    assert all(told.fired_at is not None or not told.over for told in found)


def test_what_only_goes_on_is_still_true_at_the_end() -> None:
    groups, head = tuple(load_text(RULES, "r.yml")), memory([["high"] * 100])
    lookback = Lookback(groups, key_of=rules_key, start=START)
    assert [e for episodes in lookback.sweep(head.select, START + 5900.0, head.set) for e in episodes] == []
    alive = lookback.leave("h0").alive
    assert {alert.labels.get("alertname") for alert in alive} == {"Now", "Held", "Kept", "Named"}
    assert all(alert.state is AlertState.FIRING for alert in alive)
    assert {alert.last_true for alert in alive if alert.labels.get("alertname") == "Now"} == {START + 5880.0}
