"""A site that fell silent, as the collector and the rules tell it."""

from collections.abc import Iterable

from collector.alerts.alert import AlertEvent, EventKind
from collector.intake import Intake
from collector.labels import Labels, dedup_key
from collector.store import Store, hosts, tickets
from collector.store import presence as rows
from tests.web import seed

SITE = "Łódź <1>"
BEGAN = seed.NOW - 900


def told(kind: EventKind, number: int, at: float, rule: str = "SiteSilent") -> AlertEvent:
    """What the rule says of an outage; FleetSilent is of every company."""
    site = {"company": "alfa", "site": SITE, "scope": "site"}
    labels = Labels.of(
        site if rule == "SiteSilent" else {"scope": "collector", "collector": "c1"}, alertname=rule, severity="critical"
    )
    return AlertEvent(
        kind=kind,
        source="rules",
        key=dedup_key("alfa", "rules", labels),
        labels=labels.with_({"impact": "high", "urgency": "high"}),
        annotations={
            "summary": f"Site {SITE} has gone silent, hosts away: {number}",
            "summary_pl": f"Lokalizacja {SITE} zamilkła, komputerów: {number}",
            "runbook_url": "runbooks/en/SiteSilent",
        },
        value=float(number),
        at=at,
        started_at=BEGAN,
        rule=f"uid-{rule}",
        rule_name=rule,
    )


def computers(store: Store, names: Iterable[str], company: str = "alfa", presence: str = "unknown") -> None:
    """Computers that fell silent together and stand so now."""
    for name in names:
        host = seed.computer(store, name, company, SITE, "server", presence)
        with store.write() as conn:
            hosts.add_host_event(conn, host.id, BEGAN - 5, rows.OUTAGE, {"reason": "site outage"})


def outage(store: Store, intake: Intake, count: int, back: int) -> str:
    """The number of the ticket of an outage of so many computers, some of which are back."""
    names = [f"srv-{number:02}" for number in range(count)]
    computers(store, names[:back], presence="online")
    computers(store, names[back:])
    return ticket(store, intake, count - 2, count, count - back)


def ticket(store: Store, intake: Intake, first: int, *later: int, rule: str = "SiteSilent") -> str:
    """The number of a ticket that was told these numbers."""
    fired = told(EventKind.FIRED, first, BEGAN, rule)
    seed.fire(intake, fired)
    for minute, number in enumerate(later, 1):
        seed.fire(intake, told(EventKind.CHANGED, number, BEGAN + 60 * minute, rule))
    with store.read() as conn:
        return tickets.open_by_key(conn, (fired.key,))[fired.key].number
