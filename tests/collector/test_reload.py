"""Restart, reload and changed rules, over the real Intake and SQLite: no ticket event but those the change means."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from collector.head import STALE, Head
from collector.ingest.engine import retention_for
from collector.intake import Intake, Policy
from collector.labels import Labels
from collector.rules.load import load_text
from collector.rules.schedule import Schedule
from collector.store import Store
from collector.store.alerts import load_alerts
from collector.store.tables import ticket_event

RULES = """
groups:
  - name: g
    interval: 15s
    rules:
      - record: load:twice
        expr: node_load1 * 2
      - alert: Loaded
        expr: load:twice > 10
        for: 30s
        labels: {severity: warning, impact: medium, urgency: medium, queue: helpdesk}
        annotations: {summary: 'load of {{ $labels.instance }} is {{ $value }}'}
      - alert: Quiet
        expr: node_load1 < 1
        labels: {severity: info}
        annotations: {summary: quiet}
"""
LOAD = Labels.of(__name__="node_load1", instance="srv-1", company="acme", host="srv-1", job="node")


@dataclass
class Collector:
    """What a process holds; `restart` throws all of it away but the database."""

    store: Store
    rules: str = RULES
    at: float = 1000.0
    value: float | None = 9.0
    series: Labels = LOAD
    head: Head = field(default_factory=Head)

    def __post_init__(self) -> None:
        self.intake = Intake(self.store, Policy(settle=300.0, reopen_window=86_400.0))
        self.start()

    def start(self) -> None:
        groups = load_text(self.rules, "r.yml")
        with self.store.read() as conn:
            alerts = load_alerts(conn)
        self.head = Head(retention=retention_for(groups))
        self.schedule = Schedule(groups, alerts, started_at=self.at)

    def restart(self, rules: str | None = None, *, away: float = 60.0) -> None:
        self.rules, self.at = rules or self.rules, self.at + away
        self.start()

    def reload(self, rules: str | None = None) -> None:
        self.rules = rules or self.rules
        changes = self.schedule.replace(load_text(self.rules, "r.yml"), self.at)
        if changes:
            self.intake.alerts(changes, self.at)

    def run(self, seconds: float) -> None:
        until = self.at + seconds
        while self.at < until:
            self.at += 5.0
            if self.value is not None:
                self.head.set([self.series], [self.value], self.at)
            self.schedule.run(self.head.select, self.at, commit=self.intake.alerts, record=self.head.set)

    def told(self) -> list[str]:
        with self.store.read() as conn:
            return list(conn.scalars(sa.select(ticket_event.c.kind).order_by(ticket_event.c.id)))

    def reasons(self) -> list[str]:
        with self.store.read() as conn:
            rows = conn.execute(sa.select(ticket_event.c.kind, ticket_event.c.data).order_by(ticket_event.c.id))
            return [(data or {}).get("reason", "") for kind, data in rows if kind == "gone"]


@pytest.fixture
def collector(sqlite_store: Callable[[], Store]) -> Collector:
    made = Collector(sqlite_store())
    made.run(120.0)
    assert made.told() == ["opened"]
    return made


def test_a_restart_tells_nothing(collector: Collector) -> None:
    for away in (5.0, 60.0, 3600.0):
        collector.restart(away=away)
        collector.run(120.0)
    assert collector.told() == ["opened"]


def test_a_restart_whose_data_come_late_tells_nothing(collector: Collector) -> None:
    collector.value = None
    collector.restart()
    collector.run(80.0)
    collector.value = 9.0
    collector.run(120.0)
    assert collector.told() == ["opened"]


def test_a_restart_while_it_waits_keeps_what_it_has_waited(sqlite_store: Callable[[], Store]) -> None:
    made = Collector(sqlite_store())
    made.run(20.0)
    made.restart(away=5.0)
    made.run(30.0)
    assert made.told() == ["opened"]


def test_a_restart_after_the_fault_is_gone_recovers_once(collector: Collector) -> None:
    collector.value = 2.0
    collector.restart()
    collector.run(120.0)
    collector.restart()
    collector.run(120.0)
    assert collector.told() == ["opened", "recovered"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("for: 30s", "for: 10m"),
        ("for: 30s", "for: 30s\n        keep_firing_for: 5m"),
        ("load of", "the load of"),
        ("interval: 15s", "interval: 30s"),
        ("expr: load:twice > 10", "expr: |\n          load:twice > 10"),
        ("groups:", "# moved down\n\n\ngroups:"),
        ("      - alert: Quiet", "      - {alert: New, expr: node_load1 > 1e9}\n      - alert: Quiet"),
        ("expr: node_load1 < 1", "expr: node_load1 < 2"),
    ],
    ids=["same", "for", "keep", "words", "interval", "layout", "place", "another", "other-changed"],
)  # fmt: skip
@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_rule_that_means_the_same_goes_on(collector: Collector, old: str, new: str, how: str) -> None:
    getattr(collector, how)(RULES.replace(old, new) if old else RULES)
    collector.run(120.0)
    assert collector.told() == ["opened"]


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_changed_rule_ends_the_old_episode_and_begins_its_own(collector: Collector, how: str) -> None:
    getattr(collector, how)(RULES.replace("> 10", "> 12"))
    collector.run(120.0)
    assert collector.told() == ["opened", "gone", "reopened"]
    assert collector.reasons() == ["rule changed"]
    collector.reload()
    collector.restart()
    collector.run(120.0)
    assert len(collector.told()) == 3


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_changed_rule_that_does_not_match_only_ends_the_old_episode(collector: Collector, how: str) -> None:
    getattr(collector, how)(RULES.replace("> 10", "> 100"))
    collector.run(120.0)
    assert collector.told() == ["opened", "gone"]
    assert collector.reasons() == ["rule changed"]


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_rule_taken_out_ends_its_episode(collector: Collector, how: str) -> None:
    getattr(collector, how)(RULES.replace("Loaded", "Other").replace("> 10", "> 100"))
    collector.run(120.0)
    assert collector.told() == ["opened", "gone"]
    assert collector.reasons() == ["rule removed"]


def test_group_labels_are_part_of_what_a_rule_means(collector: Collector) -> None:
    collector.reload(RULES.replace("interval: 15s", "interval: 15s\n    labels: {team: linux}"))
    collector.run(120.0)
    assert collector.told()[:2] == ["opened", "gone"]
    assert len(collector.told()) == 3


MOVED = LOAD.with_({"host": "db-1", "site": "Gdańsk", "class": "workstation"})


def move(collector: Collector) -> None:
    """A person has changed the host: its old series are gone, the same ones come under other labels."""
    collector.head.set([collector.series], [STALE], collector.at)
    collector.series = MOVED


def test_a_host_that_gets_another_name_site_or_class_keeps_its_ticket(collector: Collector) -> None:
    move(collector)
    collector.run(300.0)
    assert collector.told() == ["opened"]
    collector.restart()
    collector.run(60.0)
    assert collector.told() == ["opened"]
    with collector.store.read() as conn:
        assert [alert.labels.get("site") for alert in load_alerts(conn)] == ["Gdańsk"]
    collector.value = 2.0
    collector.run(60.0)
    assert collector.told() == ["opened", "recovered"]


def test_the_clock_of_for_goes_on_when_the_host_is_renamed(sqlite_store: Callable[[], Store]) -> None:
    collector = Collector(sqlite_store())
    collector.run(25.0)
    move(collector)
    collector.run(20.0)
    assert collector.told() == ["opened"]


def test_old_and_new_labels_side_by_side_are_one_problem(collector: Collector) -> None:
    for _ in range(12):
        collector.head.set([MOVED], [9.0], collector.at + 5.0)
        collector.run(5.0)
    assert collector.told() == ["opened"]
    assert [report.last_error for group in collector.schedule.report() for report in group.rules] == ["", "", ""]
