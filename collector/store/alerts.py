"""Alerts as rows, written on transitions only, and the episode of each problem, which is also its lock."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.dml import ReturningInsert

from collector.alerts.alert import Alert, AlertState
from collector.labels import Labels
from collector.store import tables as t
from collector.store.bulk import Insert, insert_rows
from collector.store.engine import finite, plain
from collector.store.hosts import Scope

CHUNK = 500  # keys in one statement, far below any database's limit of parameters


@dataclass(frozen=True, slots=True)
class Episode:
    """How often a problem began, and when the last time; `company_id` was decided when it first fired."""

    key: str
    company_id: int
    number: int
    started_at: float | None


@dataclass(frozen=True, slots=True)
class AlertCounts:
    """One rule's alerts: by state, and how many of both are without data."""

    pending: int = 0
    firing: int = 0
    unknown: int = 0


def load_alerts(conn: Connection) -> list[Alert]:
    """Every pending and firing alert. A value that was not finite comes back as NaN."""
    return [_alert(row) for row in conn.execute(sa.select(t.alert).order_by(t.alert.c.key))]


_OF_INSTANCES = (
    sa.select(t.alert).where(t.alert.c.instance.in_(sa.bindparam("instances", expanding=True))).order_by(t.alert.c.key)
)


def alerts_by_instance(conn: Connection, instances: Iterable[str]) -> list[Alert]:
    """Every alert of these hosts, to take over with them."""
    found: list[Alert] = []
    for chunk in chunks(instances):
        found += (_alert(row) for row in conn.execute(_OF_INSTANCES, {"instances": chunk}))
    return found


_OF_KEYS = sa.select(t.alert).where(t.alert.c.key.in_(sa.bindparam("keys", expanding=True))).order_by(t.alert.c.key)


def alerts_by_key(conn: Connection, keys: Iterable[str]) -> list[Alert]:
    """What is stored of these alerts."""
    return [_alert(row) for chunk in chunks(keys) for row in conn.execute(_OF_KEYS, {"keys": chunk})]


def alerts_of_no_host(conn: Connection) -> list[Alert]:
    """Every alert whose labels name no host in service: the affair of whoever has the lead."""
    there = sa.select(t.host.c.id).where(t.host.c.instance == t.alert.c.instance, t.host.c.retired_at.is_(None))
    query = sa.select(t.alert).where(sa.not_(sa.exists(there.correlate(t.alert)))).order_by(t.alert.c.key)
    return [_alert(row) for row in conn.execute(query)]


def alerts_of(conn: Connection, rules: Iterable[str], scope: Scope, *, limit: int = 200) -> list[Alert]:
    """Alerts of these rules (by uid) of the reader's companies; firing ones first, then the oldest."""
    c = t.alert.c
    query = sa.select(t.alert).where(c.rule.in_(sorted(set(rules))), _of_companies(scope))
    return [_alert(row) for row in conn.execute(query.order_by(c.state, c.active_since, c.key).limit(limit))]


def count_alerts(conn: Connection, scope: Scope) -> dict[str, AlertCounts]:
    """How many alerts each rule (by uid) has in the reader's companies."""
    c = t.alert.c
    kinds = (c.state == AlertState.PENDING.value, c.state == AlertState.FIRING.value, c.unknown_since.is_not(None))
    sums = [sa.func.sum(sa.case((kind, 1), else_=0)) for kind in kinds]
    rows = conn.execute(sa.select(c.rule, *sums).where(_of_companies(scope)).group_by(c.rule))
    return {rule: AlertCounts(*(int(number) for number in numbers)) for rule, *numbers in rows}


def write_alerts(conn: Connection, alerts: Sequence[Alert]) -> None:
    """Insert or replace these rows."""
    insert_rows(conn, t.alert, [_row(a) for a in sorted(alerts, key=lambda a: a.key)], _replacing)


def delete_alerts(conn: Connection, keys: Iterable[str]) -> None:
    """These alerts are inactive again."""
    for chunk in chunks(keys):
        conn.execute(sa.delete(t.alert).where(t.alert.c.key.in_(chunk)))


def lock_episodes(
    conn: Connection, company_of: Mapping[str, int], began: Mapping[str, float] | None = None
) -> dict[str, Episode]:
    """The episode rows of keys, made where missing with the company given, locked to the end of the transaction.

    A key that `began` at another time than its row says begins one more episode. One statement makes, locks and
    counts, always in the order of the keys, so that two transactions cannot wait for each other.
    """
    since = began or {}
    rows = [
        {"dedup_key": k, "company_id": company_of[k], "number": int(k in since), "started_at": since.get(k)}
        for k in sorted(company_of)
    ]
    locked = insert_rows(conn, t.episode, rows, _counting)
    return {row.dedup_key: Episode(row.dedup_key, row.company_id, row.number, row.started_at) for row in locked}


def next_episode(conn: Connection, episode: Episode, started_at: float) -> Episode:
    """One more episode of a locked key."""
    after = Episode(episode.key, episode.company_id, episode.number + 1, started_at)
    conn.execute(
        sa.update(t.episode)
        .where(t.episode.c.dedup_key == episode.key)
        .values(number=after.number, started_at=started_at)
    )
    return after


def chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    """Keys in order, at most CHUNK at a time."""
    ordered = sorted(set(keys))
    return (ordered[i : i + CHUNK] for i in range(0, len(ordered), CHUNK))


def _replacing(new: Insert) -> ReturningInsert[Any]:
    changed = {c.name: new.excluded[c.name] for c in t.alert.c if c.name != "key"}
    return new.on_conflict_do_update(index_elements=["key"], set_=changed).returning(t.alert.c.key)


def _counting(new: Insert) -> ReturningInsert[Any]:
    c = t.episode.c
    begins = new.excluded.started_at.is_not(None) & new.excluded.started_at.is_distinct_from(c.started_at)
    changed = {
        "number": sa.case((begins, c.number + 1), else_=c.number),
        "started_at": sa.func.coalesce(new.excluded.started_at, c.started_at),
    }
    return new.on_conflict_do_update(index_elements=["dedup_key"], set_=changed).returning(*c)


def _of_companies(scope: Scope) -> sa.ColumnElement[bool]:
    """An alert belongs to the company in its labels; one without is for those who see everything."""
    return sa.true() if scope is None else t.alert.c.labels["company"].as_string().in_(sorted(scope))


def _alert(row: sa.Row[Any]) -> Alert:
    return Alert(
        key=row.key,
        rule=row.rule,
        labels=Labels.of(row.labels),
        state=AlertState(row.state),
        active_since=row.active_since,
        last_true=row.last_true,
        value=math.nan if row.value is None else row.value,
        annotations=row.annotations,
        fired_at=row.fired_at,
        keep_since=row.keep_since,
        unknown_since=row.unknown_since,
        episode=row.episode,
    )


def _row(alert: Alert) -> dict[str, object]:
    return {
        "key": alert.key,
        "rule": alert.rule,
        "labels": plain(alert.labels.as_dict()),
        "state": alert.state.value,
        "active_since": alert.active_since,
        "last_true": alert.last_true,
        "value": finite(alert.value),
        "annotations": plain(dict(alert.annotations)),
        "fired_at": alert.fired_at,
        "keep_since": alert.keep_since,
        "unknown_since": alert.unknown_since,
        "episode": alert.episode,
        "instance": alert.labels.get("instance"),
    }
