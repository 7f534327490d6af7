"""Several collectors on one database, each with a schedule of its own; time and samples come from the test."""

from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.alerts.alert import AlertState
from collector.head import Head
from collector.ingest.custody import Custody, Sighting
from collector.intake import Intake
from collector.labels import Labels
from collector.rules.load import load_text
from collector.rules.schedule import Schedule
from collector.store import Store, hosts
from collector.store import tables as t
from collector.store.alerts import alerts_by_instance
from collector.store.collectors import DEAD_AFTER
from collector.store.enrollments import add_host
from collector.store.hosts import Host

RULES = """
groups:
- name: g
  rules:
  - alert: High
    expr: m > 90
    for: 10s
    labels: {severity: critical, impact: high, urgency: high}
    annotations: {summary: "m is high"}
  - alert: Many
    expr: total > 5
    labels: {severity: critical, impact: high, urgency: high}
    annotations: {summary: "many are high"}
"""


def enrol(conn: Connection, host_id: str, name: str, *, company: str = "acme", site: str = "waw") -> Host:
    """A server, of Acme in Warsaw if nothing else is said."""
    return add_host(
        conn,
        host_id=host_id,
        company=company,
        site=site,
        class_="server",
        name=name,
        enrollment_id=f"e-{host_id}",
        key_hash="key",
        serial=f"serial-{host_id}",
        certificate_pem="PEM",
        not_after=9e9,
        at=10.0,
    )


def opened(conn: Connection, host_id: str, collector: str, at: float = 20.0) -> int:
    """The generation of a new session of a host at a collector (by id)."""
    return hosts.open_session(conn, host_id, at=at, facts={}, version="1", fingerprint="f", collector=collector)


def age(conn: Connection, collector: str, seconds: float) -> None:
    """A collector was last seen so much longer ago."""
    c = t.collector.c
    conn.execute(sa.update(t.collector).where(c.id == collector).values(seen_at=c.seen_at - seconds))


class Site:
    """One collector: custody, schedule and head over the shared database."""

    def __init__(self, store: Store, name: str, rules: str = RULES, at: float = 1000.0) -> None:
        self.store = store
        self.head = Head()
        self.cut: dict[str, int] = {}
        self.custody = Custody(store, str(uuid4()), name)
        self.custody.lost = self.cut.update
        seen = self.custody.enter()
        self.schedule = Schedule(
            load_text(rules, "r.yml"),
            self.custody.started(seen),
            started_at=at,
            owns=self.custody.owns,
            elsewhere=seen.failing,
            charts=False,
        )
        self.commit = self.custody.commit(Intake(store).judged)

    def connect(self, host: str, at: float) -> int:
        """The host's agent opens a stream here."""
        with self.store.write() as conn:
            gen = opened(conn, host, self.custody.collector, at)
            alerts = alerts_by_instance(conn, (host,))
        self.custody.hold(self.schedule, at, host, host, gen, alerts)
        return gen

    def run(self, at: float, value: float | None = None, *, instance: str = "pc1", name: str = "m") -> None:
        if value is not None:
            labels = Labels.of({"__name__": name} | ({"instance": instance} if instance else {}))
            self.head.set([labels], [value], at)
        try:
            self.custody.recall(self.schedule, at)
            self.schedule.run(self.head.select, at, commit=self.commit, record=self.head.set)
        finally:
            self.custody.settle(self.schedule)

    def see(self) -> Sighting:
        return self.custody.look(self.custody.lead)

    def look(self, at: float) -> None:
        self.custody.apply(self.schedule, at, self.see())

    def states(self) -> list[AlertState]:
        return [alert.state for alert in self.schedule.alerts()]


class Town:
    """The database and whoever shares it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        with store.write() as conn:
            for name in ("pc1", "pc2"):
                enrol(conn, name, name)

    def site(self, name: str, rules: str = RULES, at: float = 1000.0) -> Site:
        return Site(self.store, name, rules, at)

    def reopen(self, host: str) -> None:
        """A new session of the host at whoever holds it, which nobody there has drawn conclusions from."""
        with self.store.write() as conn:
            _, holder = hosts.fence(conn, [host])[host]
            if holder is not None:
                opened(conn, host, holder)

    def silence(self, site: Site) -> None:
        """A collector has not been seen for too long, by the database's clock."""
        with self.store.write() as conn:
            age(conn, site.custody.collector, DEAD_AFTER + 1)

    def rows(self) -> dict[str, list[Any]]:
        """All that alerts and tickets have written."""
        tables = (t.alert, t.episode, t.ticket, t.ticket_event, t.host_event)
        with self.store.read() as conn:
            return {table.name: sorted(map(repr, conn.execute(sa.select(table)))) for table in tables}

    def tickets(self) -> list[tuple[str, bool]]:
        with self.store.read() as conn:
            rows = conn.execute(sa.select(t.ticket).order_by(t.ticket.c.id))
            return [(row.rule_name, row.recovered_at is None) for row in rows]

    def told(self) -> list[str]:
        with self.store.read() as conn:
            return list(conn.scalars(sa.select(t.ticket_event.c.kind).order_by(t.ticket_event.c.id)))
