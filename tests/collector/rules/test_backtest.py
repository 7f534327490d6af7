"""History in, episodes out; and the same as the live schedule on the same samples."""

from collections.abc import Iterable

import pytest

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, EventKind
from collector.head import Head
from collector.labels import Labels
from collector.promql import Line
from collector.rules import backtest as module
from collector.rules.backtest import BacktestError, Report, backtest, live, sampling, selectors
from collector.rules.load import load_text
from collector.rules.model import Group
from collector.rules.schedule import Schedule

RULES = """
groups:
  - name: g
    interval: 15s
    rules:
      - {record: double, expr: m * 2}
      - {alert: High, expr: double > 10, for: 1m, labels: {severity: warning}}
"""
M = Labels.of(__name__="m", instance="a")


def groups(text: str = RULES) -> tuple[Group, ...]:
    return load_text(text, "r.yml")


def minutes(values: str, labels: Labels = M) -> Head:
    """One sample a minute; a dot is none."""
    head = Head(retention=1e6)
    for minute, word in enumerate(values.split()):
        if word != ".":
            head.set([labels], [float(word)], minute * 60.0)
    return head


def replay(head: Head, text: str = RULES, *, end: float, start: float = 0.0, step: float = 60.0) -> Report:
    return backtest(groups(text), live(head.select), start, end, step)


def test_a_fault_is_one_ticket_that_healed_by_itself() -> None:
    report = replay(minutes("1 6 7 8 2 2 2"), end=360.0)
    (episode,) = report.episodes
    assert (episode.rule, episode.fired_at, episode.ended_at, episode.end) == ("High", 120.0, 240.0, "recovered")
    assert episode.labels == Labels.of(alertname="High", instance="a", severity="warning")
    assert episode.value == 14.0
    assert report.summary() == "this would have opened 1 ticket, 1 healed by themselves within 5 min"
    assert report.healed(60.0) == 0
    assert (report.evaluations, report.series) == (7, 1)


def test_what_comes_back_soon_opens_its_ticket_again() -> None:
    report = replay(minutes("6 6 1 6 6 1 1"), end=360.0)
    assert [episode.again for episode in report.episodes] == [False, True]
    assert (report.tickets, report.reopened, report.healed()) == (1, 1, 1)
    assert "1 ticket, opened one again 1 times" in report.summary()
    apart = backtest(groups(), live(minutes("6 6 1 6 6 1 1").select), 0.0, 360.0, 60.0, reopen_window=60.0)
    assert apart.tickets == 2


def test_rules_without_tickets_are_counted_apart() -> None:
    report = replay(minutes("6 6 6 1 1"), RULES.replace("severity: warning", 'ticket: "no"'), end=240.0)
    assert (report.tickets, report.entries, report.healed()) == (0, 1, 0)
    assert report.summary().endswith("; 1 entries on hosts' pages")


def test_what_still_fires_at_the_end_has_no_end() -> None:
    (episode,) = replay(minutes("6 6 6 6"), end=180.0).episodes
    assert episode.ended_at is None
    assert not episode.healed_within(1e9)


def test_silence_does_not_heal() -> None:
    report = replay(minutes("6 6 6 . . . . . . . . . . . ."), end=840.0)
    assert [(one.end, one.ended_at) for one in report.episodes] == [("", None)]


def test_windows_and_offsets_find_the_time_before_the_start() -> None:
    text = "groups: [{name: g, rules: [{alert: A, expr: 'increase(c_total[10m]) > 5 and c_total offset 5m > 0'}]}]"
    counter = Labels.of(__name__="c_total", instance="a")
    head = minutes(" ".join(str(minute) for minute in range(31)), counter)
    report = replay(head, text, start=1200.0, end=1800.0)
    assert [(one.fired_at, one.ended_at) for one in report.episodes] == [(1200.0, None)]


def test_the_live_schedule_says_the_same_on_the_same_samples() -> None:
    values = "1 6 6 2 7 7 7 7 1 . 9 9 9 2 1 8 . . . . . . . . 8 8 1"
    head = Head()
    heard: list[AlertEvent] = []

    def commit(changes: AlertChanges, _at: float) -> tuple[Alert, ...]:
        heard.extend(changes.events)
        return changes.upserts

    schedule = Schedule(groups(), (), started_at=0.0, unknown_after=180.0)
    for minute, word in enumerate(values.split()):
        at = minute * 60.0
        if word != ".":
            head.set([M], [float(word)], at)
        schedule.run(head.select, at, commit=commit, record=head.set)
    fired = [event.at for event in heard if event.kind is EventKind.FIRED]
    ended = [event.at for event in heard if event.kind is EventKind.RECOVERED]
    report = replay(minutes(values), end=26 * 60.0)
    assert len(fired) > 2
    assert [episode.fired_at for episode in report.episodes] == fired
    assert [episode.ended_at for episode in report.episodes if episode.ended_at] == ended


def test_only_what_the_rules_do_not_write_themselves_is_asked_for() -> None:
    text = """
groups:
  - name: g
    rules:
      - {record: r, expr: 'm{a!="b"} + m{a!="b"}'}
      - {alert: A, expr: 'r > 1 unless rate(n[2m] offset 1h) > 1 or ALERTS'}
"""
    assert selectors(groups(text)) == ('{__name__="m",a!="b"}', '{__name__="n"}')
    assert sampling(groups(text), 60.0) == 30.0
    assert sampling(groups(text), 10.0) == 10.0
    assert sampling(groups(), 3600.0) == 3600.0


def test_history_is_asked_for_in_bounded_pieces() -> None:
    asked: list[tuple[float, float, float]] = []

    def history(_: str, start: float, end: float, step: float) -> Iterable[Line]:
        asked.append((start, end, step))
        return ()

    report = backtest(groups(), history, 1000.0, 1000.0 + 2000 * 60.0, 60.0)
    assert report.evaluations == 2001
    assert all((end - start) / step < module.CHUNK for start, end, step in asked)
    assert [start for start, _, _ in asked[1:]] == [end + step for _, end, step in asked[:-1]]
    assert asked[0][0] <= 1000.0 - 300.0
    assert asked[-1][1] == 1000.0 + 2000 * 60.0


def test_a_rule_that_cannot_be_judged_is_told() -> None:
    text = "groups: [{name: g, rules: [{alert: Broken, expr: m > 1, labels: {instance: x}}]}]"
    head = minutes("2 2")
    head.set([Labels.of(__name__="m", instance="b")], [3.0], 0.0)
    assert replay(head, text, end=60.0).failures == (
        ("Broken", 'two results with the same labels {alertname="Broken",instance="x"}'),
    )


@pytest.mark.parametrize(("start", "end", "step"), [(0, 1e9, 1), (10, 0, 60), (0, 60, 0), (0, 60, -1)])
def test_what_is_too_long_or_makes_no_sense_is_refused(start: float, end: float, step: float) -> None:
    with pytest.raises(BacktestError, match="can be replayed"):
        backtest(groups(), live(Head().select), start, end, step)


def test_too_many_samples_and_too_much_time_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BacktestError, match="takes too long"):
        backtest(groups(), live(Head().select), 0.0, 600.0, 60.0, give_up=lambda: True)
    monkeypatch.setattr(module, "MOST_SAMPLES", 3)
    with pytest.raises(BacktestError, match="more than 3 samples"):
        replay(minutes("1 1 1 1 1"), end=240.0)


def test_a_flood_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_EPISODES", 1)
    with pytest.raises(BacktestError, match="would flood the queue"):
        replay(minutes("6 6 1 6 6 1 6 6 1"), end=480.0)
