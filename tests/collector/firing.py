"""An alert's events told to an Intake, and what became of them."""

from collections.abc import Sequence

import sqlalchemy as sa

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, AlertState, EventKind
from collector.intake import Actor, Intake
from collector.labels import Labels, dedup_key
from collector.store import Store, tables, tickets
from collector.tickets.entry import EntryKind
from collector.tickets.ticket import Ticket

LABELS = Labels.of(alertname="DiskFull", instance="srv-1", company="acme", severity="warning")
KEY = dedup_key("acme", "rules", LABELS)
OTHER = LABELS.with_({"instance": "srv-2"})
JAN = Actor(None, "Jan")


def event(kind: EventKind, at: float, *, started: float, labels: Labels = LABELS, value: float = 93.0) -> AlertEvent:
    return AlertEvent(
        kind=kind,
        source="rules",
        key=dedup_key("acme", "rules", labels),
        labels=labels,
        annotations={"summary": "Disk is full"},
        value=value,
        at=at,
        started_at=started,
        rule="uid",
        rule_name="DiskFull",
    )


def alert(started: float, *, labels: Labels = LABELS, state: AlertState = AlertState.FIRING) -> Alert:
    return Alert(dedup_key("acme", "rules", labels), "uid", labels, state, started, started, 93.0)


def fire(intake: Intake, at: float, started: float | None = None, labels: Labels = LABELS) -> Sequence[Alert]:
    began = at if started is None else started
    fired = event(EventKind.FIRED, at, started=began, labels=labels)
    return intake.alerts(AlertChanges((alert(began, labels=labels),), (), (fired,)), at)


def tell(intake: Intake, kind: EventKind, at: float, started: float, labels: Labels = LABELS) -> None:
    over = kind in {EventKind.RECOVERED, EventKind.GONE}
    deletes = (dedup_key("acme", "rules", labels),) if over else ()
    intake.alerts(AlertChanges((), deletes, (event(kind, at, started=started, labels=labels, value=40.0),)), at)


def all_tickets(store: Store) -> list[Ticket]:
    with store.read() as conn:
        ids = conn.scalars(sa.select(tables.ticket.c.id).order_by(tables.ticket.c.id)).all()
        found = [tickets.find(conn, i, None) for i in ids]
    return [t for t in found if t]


def kinds(store: Store, ticket_id: int = 1) -> list[EntryKind]:
    with store.read() as conn:
        return [e.kind for e in tickets.timeline(conn, ticket_id)]
