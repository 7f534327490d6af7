"""What the default rules do without data: none begins, and one that has begun waits instead of recovering."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from collector.alerts.alert import Alert, AlertChanges, AlertState
from collector.head import Head
from collector.rules.load import load_files
from collector.rules.schedule import Schedule
from collector.rules.testfile import RuleTest, load_tests

TESTS = sorted((Path(__file__).parent / "defaults").glob("*.test.yml"))
SILENCE = 900.0  # longer than any sample is looked back at


def kept(changes: AlertChanges, at: float) -> Sequence[Alert]:
    del at
    return changes.upserts


def feed(head: Head, test: RuleTest, number: int) -> None:
    now = [(one.labels, one.values[number]) for one in test.series if number < len(one.values)]
    present = [(labels, value) for labels, value in now if value is not None]
    head.set([labels for labels, _ in present], [value for _, value in present], number * test.interval)


def firing(schedule: Schedule) -> list[str]:
    return [alert.key for alert in schedule.alerts() if alert.state is AlertState.FIRING]


def test_no_rule_fires_where_there_is_no_data(default_rules: Path) -> None:
    schedule = Schedule(load_files(sorted(default_rules.glob("*.yml"))), (), started_at=0.0)
    for at in (0.0, 60.0, 86_400.0, 2_592_000.0):
        schedule.run(Head().select, at, commit=kept, record=Head().set)
    assert schedule.alerts() == ()
    assert {rule.health for group in schedule.report() for rule in group.rules} == {"ok"}


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.split(".")[0])
def test_an_alert_waits_while_its_data_is_missing(path: Path) -> None:
    file = load_tests(path)
    test = file.tests[0]
    fires = next(one.at for one in test.alerts if one.alerts)
    head = Head(retention=fires + 86_400.0, max_samples=int(fires / test.interval) + 8)
    groups = load_files([path.parent / name for name in file.rule_files])
    timed = [replace(group, interval=file.evaluation_interval) for group in groups]
    schedule = Schedule(timed, (), started_at=0.0)
    for number in range(int(fires / test.interval) + 1):
        feed(head, test, number)
        schedule.run(head.select, number * test.interval, commit=kept, record=head.set)
    before = firing(schedule)
    assert before
    for late in range(60, int(SILENCE) + 1, 60):
        schedule.run(head.select, fires + late, commit=kept, record=head.set)
    assert firing(schedule) == before
