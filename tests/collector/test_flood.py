"""A rule that matches everything is one ticket about the rule, on the real Intake, SQLite and default rules."""

from collections.abc import Callable, Sequence
from pathlib import Path

import sqlalchemy as sa

from collector.head import Head, Matcher, Selection
from collector.intake import Intake, Policy
from collector.labels import Labels
from collector.rules.alerting import MOST_ALERTS
from collector.rules.load import load, load_text
from collector.rules.schedule import Schedule
from collector.store import Store
from collector.store.tables import ticket

DEFAULT = Path(__file__).parents[2] / "collector" / "rules" / "defaults" / "collector.yml"
FLOOD = """
groups:
  - name: mine
    interval: 15s
    rules:
      - {alert: Everything, expr: m > 0, labels: {severity: warning}}
      - {alert: One, expr: 'm{instance="0"} > 0', labels: {severity: warning}}
"""


def rules_of_tickets(store: Store) -> list[str]:
    with store.read() as conn:
        return sorted(conn.scalars(sa.select(ticket.c.rule_name)))


def run(store: Store, hosts: int, cost: float = 0.0) -> list[str]:
    """Two minutes of `hosts` matching series; the first rule costs `cost` seconds of work each time."""
    head, intake, worked = Head(), Intake(store, Policy(settle=300.0, reopen_window=86_400.0)), [0.0]
    groups = (*load_text(FLOOD, "mine.yml"), *load(DEFAULT))
    schedule = Schedule(groups, (), started_at=0.0, work=lambda: worked[0])

    def select(matchers: Sequence[Matcher], start: float, end: float) -> Selection:
        worked[0] += cost if [matcher.value for matcher in matchers] == ["m"] else 0.0
        return head.select(matchers, start, end)

    series = [Labels.of(__name__="m", instance=str(host)) for host in range(hosts)]
    for at in range(0, 120, 15):
        head.set(series, [1.0] * hosts, float(at))
        schedule.run(select, float(at), commit=intake.alerts, record=head.set)
    return rules_of_tickets(store)


def test_a_flood_is_one_ticket_about_its_rule_and_other_rules_go_on(sqlite_store: Callable[[], Store]) -> None:
    assert run(sqlite_store(), MOST_ALERTS + 1) == ["One", "RuleFailing"]


def test_a_rule_that_is_switched_off_is_one_ticket_about_it_and_other_rules_go_on(
    sqlite_store: Callable[[], Store],
) -> None:
    assert run(sqlite_store(), 1, cost=30.0) == ["Everything", "One", "RuleFailing"]
