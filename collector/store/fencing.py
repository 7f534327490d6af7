"""Whose alerts a collector may still change: the check that every commit of an evaluation makes, under locks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.alerts.alert import AlertChanges
from collector.labels import Labels
from collector.store import hosts, leases
from collector.store import tables as t
from collector.store.alerts import chunks

NO_HOST = ""  # stands for everything that belongs to no host
OWN = "collector"  # the label that says whose affair an alert of no host is


@dataclass(frozen=True, slots=True)
class Holding:
    """What one collector believes to hold: its hosts by instance with their generations, and the lead's (0: not)."""

    collector: str
    name: str
    gens: Mapping[str, int] = field(default_factory=dict)
    lead: int = 0


def fenced(conn: Connection, changes: AlertChanges, holding: Holding) -> tuple[AlertChanges, frozenset[str]]:
    """The changes without those of hosts held by others meanwhile, and the instances of these; NO_HOST for the rest.

    What is left may be written: nobody can take its hosts before the end of the transaction.
    """
    owners = _owners(conn, changes, holding)
    lost = _lost(conn, set(owners.values()), holding)
    if not lost:
        return changes, lost
    kept = AlertChanges(
        tuple(a for a in changes.upserts if owners[a.key] not in lost),
        tuple(key for key in changes.deletes if owners.get(key) not in lost),
        tuple(e for e in changes.events if owners[e.key] not in lost),
    )
    return kept, lost


def _owners(conn: Connection, changes: AlertChanges, holding: Holding) -> dict[str, str | None]:
    """By key: the instance of its host, NO_HOST, or None for what is the collector's own."""
    owners = {alert.key: _owner(alert.labels, holding) for alert in changes.upserts}
    owners |= {told.key: _owner(told.labels, holding) for told in changes.events}
    silent = [key for key in changes.deletes if key not in owners]  # a pending alert ends without an event
    c = t.alert.c
    for chunk in chunks(silent):
        query = sa.select(c.key, c.instance, c.labels[OWN].as_string().label("own")).where(c.key.in_(chunk))
        for row in conn.execute(query):
            owners[row.key] = row.instance or (None if row.own == holding.name else NO_HOST)
    return owners


def _owner(labels: Labels, holding: Holding) -> str | None:
    instance = labels.get("instance")
    return instance or (None if labels.get(OWN) == holding.name else NO_HOST)


def _lost(conn: Connection, owners: set[str | None], holding: Holding) -> frozenset[str]:
    instances = {owner for owner in owners if owner}
    rows = hosts.fence(conn, instances)
    lost = {i for i, row in rows.items() if row != (holding.gens.get(i), holding.collector)}
    homeless = instances - rows.keys()  # named by a rule, but no host of ours
    if NO_HOST in owners or homeless:
        leads = holding.lead > 0 and leases.holds(conn, leases.LEAD, holding.collector, holding.lead)
        lost |= set() if leads else {NO_HOST, *homeless}
    return frozenset(lost)
