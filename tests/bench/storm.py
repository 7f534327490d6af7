"""A storm: as many alerts as a company has computers in one evaluation, one commit, on both databases."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from collector.alerts.alert import AlertChanges, EventKind
from collector.intake import Intake
from collector.store import hosts, open_store, upgrade
from tests.bench.page import fired
from tests.chaos.postgres import Postgres

COMPANY = "test"


def run(folder: Path, alerts: int = 10_000) -> list[str]:
    """A line a database: seconds of the commit that opens the tickets, tells them again, and ends them."""
    with Postgres() as cluster:
        urls = {"SQLite": f"sqlite:///{folder}/storm.db", "PostgreSQL": cluster.url()}
        return [measured(name, url, alerts) for name, url in urls.items()]


def measured(name: str, url: str, alerts: int) -> str:
    """One database, with its schema and a company made first."""
    upgrade(url)
    with closing(open_store(url)) as store:
        with store.write() as conn:
            hosts.add_company(conn, COMPANY, "Test", 1.0)
        intake = Intake(store)
        intake.alerts(storm(10, 50.0), 50.0)  # what a process does once is no part of it
        said: list[str] = []
        with taken(said, "open"):
            intake.alerts(storm(alerts, 100.0), 100.0)
        with taken(said, "fire again"):
            intake.alerts(storm(alerts, 200.0), 200.0)
        with taken(said, "recover"):
            intake.alerts(over(storm(alerts, 200.0), 300.0), 300.0)
    return f"{name}, {alerts} alerts in one commit (goal 3 s): {', '.join(said)}"


@contextmanager
def taken(said: list[str], what: str) -> Iterator[None]:
    """Notes the seconds on the clock and those of this process."""
    began, worked = time.perf_counter(), time.process_time()
    yield
    said.append(f"{what} {time.perf_counter() - began:.1f} s ({time.process_time() - worked:.1f} s of our own work)")


def storm(alerts: int, at: float) -> AlertChanges:
    """Every computer's alert begins to fire."""
    made = [fired(COMPANY, number, at) for number in range(alerts)]
    return AlertChanges(tuple(alert for alert, _ in made), (), tuple(event for _, event in made))


def over(changes: AlertChanges, at: float) -> AlertChanges:
    """The same recover."""
    ended = tuple(replace(event, kind=EventKind.RECOVERED, value=40.0, at=at) for event in changes.events)
    return AlertChanges((), tuple(event.key for event in ended), ended)
