"""Alerts as rows, written on transitions only, and the episode of each problem, which is also its lock."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.alerts.alert import Alert, AlertState
from collector.labels import Labels
from collector.store import tables as t
from collector.store.engine import finite, plain
from collector.store.upsert import insert

CHUNK = 500  # keys in one statement, far below any database's limit of parameters


@dataclass(frozen=True, slots=True)
class Episode:
    """How often a problem began, and when the last time; `company_id` was decided when it first fired."""

    key: str
    company_id: int
    number: int
    started_at: float | None


def load_alerts(conn: Connection) -> list[Alert]:
    """Every pending and firing alert. A value that was not finite comes back as NaN."""
    return [
        Alert(
            key=r.key,
            rule=r.rule,
            labels=Labels.of(r.labels),
            state=AlertState(r.state),
            active_since=r.active_since,
            last_true=r.last_true,
            value=math.nan if r.value is None else r.value,
            annotations=r.annotations,
            fired_at=r.fired_at,
            keep_since=r.keep_since,
            unknown_since=r.unknown_since,
            episode=r.episode,
        )
        for r in conn.execute(sa.select(t.alert).order_by(t.alert.c.key))
    ]


def write_alerts(conn: Connection, alerts: Sequence[Alert]) -> None:
    """Insert or replace these rows."""
    if not alerts:
        return
    new = insert(conn, t.alert)
    changed = {c.name: new.excluded[c.name] for c in t.alert.c if c.name != "key"}
    rows = [_row(a) for a in sorted(alerts, key=lambda a: a.key)]
    conn.execute(new.on_conflict_do_update(index_elements=["key"], set_=changed), rows)


def delete_alerts(conn: Connection, keys: Iterable[str]) -> None:
    """These alerts are inactive again."""
    for chunk in chunks(keys):
        conn.execute(sa.delete(t.alert).where(t.alert.c.key.in_(chunk)))


def lock_episodes(conn: Connection, company_of: dict[str, int]) -> dict[str, Episode]:
    """The episode rows of keys, made where missing with the company given, locked to the end of the transaction.

    Always in the order of the keys, so that two transactions cannot wait for each other.
    """
    if not company_of:
        return {}
    rows = [{"dedup_key": k, "company_id": company_of[k], "number": 0} for k in sorted(company_of)]
    conn.execute(insert(conn, t.episode).on_conflict_do_nothing(index_elements=["dedup_key"]), rows)
    found = {}
    for chunk in chunks(company_of):
        query = sa.select(t.episode).where(t.episode.c.dedup_key.in_(chunk)).order_by(t.episode.c.dedup_key)
        for row in conn.execute(query.with_for_update()):
            found[row.dedup_key] = Episode(row.dedup_key, row.company_id, row.number, row.started_at)
    return found


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
    }
