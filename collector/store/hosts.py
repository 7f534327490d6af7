"""Companies, hosts, their sessions, presence and timeline. Presence is written only under the session's generation."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.sql.dml import ReturningInsert

from collector.store import tables as t
from collector.store.bulk import Columns, Given, Insert, insert_rows, update_rows
from collector.store.collectors import alive
from collector.store.engine import plain
from collector.store.errors import StoreError
from collector.store.upsert import insert
from collector.tickets.text import NAME, line

Scope = frozenset[str] | None  # company slugs; None is all

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class Company:
    """One company whose computers are watched."""

    id: int
    slug: str
    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Host:
    """One computer; `id` is the agent_id in its certificate, `instance` is unique in the installation."""

    id: str
    company: str
    company_name: str
    site: str
    class_: str
    name: str
    instance: str
    presence: str
    presence_reason: str
    presence_since: float
    last_seen: float | None
    deadline: float | None
    session_gen: int
    agent_version: str
    facts: Mapping[str, object]
    first_seen: float
    retired_at: float | None
    revoked_at: float | None
    machine_fingerprint: str
    boot_id: str = ""  # of its last session
    suspended: float = 0.0  # seconds that boot had slept by then
    lost: int = 0  # batches its agent had to drop, ever
    collector_id: str | None = None  # who holds its session
    approved_at: float | None = None  # None: streams are refused until a person says yes
    same_as: str | None = None  # host id it may be again, by its hardware
    version: int = 1  # of what a person may change


@dataclass(frozen=True, slots=True)
class HostEvent:
    """One line of a host's timeline."""

    id: int
    host_id: str
    at: float
    kind: str
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Standing:
    """A presence that a host's session was seen to have; `at` is since when."""

    host_id: str
    gen: int
    presence: str
    reason: str
    at: float
    deadline: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line for a host's timeline."""

    host_id: str
    at: float
    kind: str
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Once:
    """A line for a host's timeline, unless one of its kind, not older than `since`, has all of `same` in its detail."""

    host_id: str
    at: float
    kind: str
    since: float
    same: Mapping[str, object]
    detail: Mapping[str, object]


_COLUMNS = (
    *(c for c in t.host.c if c.name not in {"company_id", "lost_epoch", "lost_told", "duplicate_at"}),
    t.company.c.slug.label("company"),
    t.company.c.name.label("company_name"),
)
_HOSTS = sa.select(*_COLUMNS).join(t.company, t.host.c.company_id == t.company.c.id)
# Fixed, for whoever arrives waits for them: to build a statement takes longer than to run it.
_BY_IDS = _HOSTS.where(t.host.c.id.in_(sa.bindparam("ids", expanding=True))).order_by(t.host.c.id)
_LOCKED = _BY_IDS.with_for_update(of=t.host)
_OPENED = (
    sa.update(t.host)
    .where(t.host.c.id.in_(sa.bindparam("ids", expanding=True)))
    .where(t.host.c.retired_at.is_(None), t.host.c.revoked_at.is_(None))
    .values(session_gen=t.host.c.session_gen + 1, collector_id=sa.bindparam("holder"), last_seen=sa.bindparam("at"))
    .returning(t.host.c.id, t.host.c.session_gen)
)
_ACTIVE = _HOSTS.where(t.host.c.retired_at.is_(None), t.host.c.revoked_at.is_(None)).order_by(t.host.c.id)
_ELSEWHERE = _ACTIVE.where(t.host.c.collector_id.is_distinct_from(sa.bindparam("collector")))
_IDENTITIES = _ACTIVE.with_only_columns(
    *(t.host.c[name] for name in ("id", "instance", "name")), t.company.c.slug, t.host.c.site, t.host.c["class"]
)
_BY_INSTANCE = _HOSTS.where(t.host.c.instance.in_(sa.bindparam("instances", expanding=True)))


def add_company(conn: Connection, slug: str, name: str, at: float) -> Company:
    """A new company; one that exists already stays as it is and is returned. Raises StoreError for a bad slug."""
    if not _SLUG.fullmatch(slug):
        raise StoreError(f"company {slug!r}: use up to 63 small letters, digits and hyphens, as in acme-pl")
    new = insert(conn, t.company).values(slug=slug, name=line(name, NAME), created_at=at, revision=0)
    conn.execute(new.on_conflict_do_nothing(index_elements=["slug"]))
    found = company_by_slug(conn, slug)
    assert found is not None  # noqa: S101 - it was written by this transaction
    return found


def companies(conn: Connection, scope: Scope = None) -> list[Company]:
    """The companies a reader may see, oldest first."""
    query = sa.select(t.company).order_by(t.company.c.id)
    return [_company(row) for row in conn.execute(query.where(in_scope(scope)))]


def company_by_slug(conn: Connection, slug: str) -> Company | None:
    """One company, None where there is none."""
    row = conn.execute(sa.select(t.company).where(t.company.c.slug == slug)).one_or_none()
    return None if row is None else _company(row)


def in_scope(scope: Scope) -> sa.ColumnElement[bool]:
    """The condition on the joined company that keeps a reader in their companies."""
    return sa.true() if scope is None else t.company.c.slug.in_(sorted(scope))


def hosts(conn: Connection, *, scope: Scope, text: str | None = None, retired: bool = False) -> list[Host]:
    """Hosts by name; `text` is a part of the name, instance, site or company; retired ones only if asked for."""
    query = _HOSTS.where(in_scope(scope)).order_by(t.host.c.name, t.host.c.instance)
    if not retired:
        query = query.where(t.host.c.retired_at.is_(None))
    words = line(text or "", NAME).lower()
    if words:
        columns = (t.host.c.name, t.host.c.instance, t.host.c.site, t.company.c.name, t.company.c.slug)
        query = query.where(sa.or_(*(sa.func.lower(c).contains(words, autoescape=True) for c in columns)))
    return [_host(row) for row in conn.execute(query)]


def host(conn: Connection, host_id: str, scope: Scope) -> Host | None:
    """One host by its agent_id, None where the reader has none."""
    row = conn.execute(_HOSTS.where(t.host.c.id == host_id, in_scope(scope))).one_or_none()
    return None if row is None else _host(row)


def host_by_instance(conn: Connection, instance: str) -> Host | None:
    """One host by its `instance` label, of any company."""
    row = conn.execute(_HOSTS.where(t.host.c.instance == instance)).one_or_none()
    return None if row is None else _host(row)


def active_identities(conn: Connection) -> list[Host]:
    """Every host that is neither retired nor revoked: what ingest stamps from."""
    return [_host(row) for row in conn.execute(_ACTIVE)]


def identities(conn: Connection) -> Sequence[tuple[str, str, str, str, str, str]]:
    """Of each of these (id, instance, name, company, site, class): what is asked again and again."""
    return [tuple(row) for row in conn.execute(_IDENTITIES)]


def held_elsewhere(conn: Connection, collector: str) -> list[Host]:
    """Those of them that this collector does not hold."""
    return [_host(row) for row in conn.execute(_ELSEWHERE, {"collector": collector})]


@dataclass(frozen=True, slots=True)
class Opening:
    """What an agent says of itself as it opens a session; no fingerprint: it cannot tell."""

    facts: Mapping[str, object]
    version: str
    fingerprint: str


def locked(conn: Connection, ids: Iterable[str]) -> dict[str, Host]:
    """Some hosts by id, as they stay to the end of the transaction; whoever commits for one of them is waited for."""
    return {row.id: _host(row) for row in conn.execute(_LOCKED, {"ids": sorted(ids)})}


def by_ids(conn: Connection, ids: Iterable[str]) -> dict[str, Host]:
    """Some hosts by id."""
    return {row.id: _host(row) for row in conn.execute(_BY_IDS, {"ids": sorted(ids)})}


def open_sessions(
    conn: Connection,
    openings: Mapping[str, Opening],
    before: Mapping[str, Host],
    *,
    at: float,
    collector: str | None = None,
) -> dict[str, int]:
    """A new session fences every older one: its generation; of hosts that are not retired or revoked.

    `collector` is the process that holds them. `before` is what `locked` gave; what has not changed is not written.
    """
    opened = conn.execute(_OPENED, {"ids": sorted(openings), "holder": collector, "at": at})
    gens = {row.id: row.session_gen for row in opened}
    changed: dict[tuple[str, ...], list[tuple[Columns, Columns]]] = {}
    for host_id in sorted(gens):
        said = _changed(openings[host_id], before[host_id])
        changed.setdefault(tuple(said), []).append(({"id": host_id}, said))
    for names, rows in changed.items():
        if names:
            update_rows(conn, t.host, rows)
    return gens


def open_session(
    conn: Connection,
    host_id: str,
    *,
    at: float,
    facts: Mapping[str, object],
    version: str,
    fingerprint: str,
    collector: str | None = None,
) -> int:
    """The same for one host; 0 where it is retired, revoked or unknown."""
    before, opening = locked(conn, (host_id,)), {host_id: Opening(facts, version, fingerprint)}
    return open_sessions(conn, opening, before, at=at, collector=collector).get(host_id, 0)


def set_presences(conn: Connection, rows: Iterable[Standing], *, collector: str | None = None) -> int:
    """Write presences, each under its session's generation; how many: the others' hosts have newer sessions.

    `presence_since` moves only when presence or reason change. With `collector` it must also hold the hosts.
    """
    every = sorted(rows, key=lambda row: row.host_id)
    held = {} if collector is None else {"collector_id": collector}
    ids = [row.host_id for row in every]
    for start in range(0, len(ids), 500):  # in order first, as `touch` does
        some = t.host.c.id.in_(ids[start : start + 500])
        conn.execute(sa.select(t.host.c.id).where(some).order_by(t.host.c.id).with_for_update(key_share=True))
    found = [
        (
            {"id": row.host_id, "session_gen": row.gen, **held},
            {
                "presence": row.presence,
                "presence_reason": line(row.reason, NAME),
                "presence_since": row.at,
                "deadline": row.deadline,
            },
        )
        for row in every
    ]
    return update_rows(conn, t.host, found, _stands)


def _stands(new: Given) -> Given:
    same = sa.and_(t.host.c.presence == new["presence"], t.host.c.presence_reason == new["presence_reason"])
    return {**new, "presence_since": sa.case((same, t.host.c.presence_since), else_=new["presence_since"])}


def set_presence(
    conn: Connection,
    host_id: str,
    gen: int,
    presence: str,
    reason: str,
    at: float,
    deadline: float | None,
    *,
    collector: str | None = None,
) -> bool:
    """The same for one host; False: nothing was written."""
    return set_presences(conn, (Standing(host_id, gen, presence, reason, at, deadline),), collector=collector) == 1


def touch(conn: Connection, seen: Sequence[tuple[str, int]], at: float, *, deadline: float | None = None) -> int:
    """Note (host_id, gen) pairs as seen, and move their deadline if given; returns how many rows were not fenced."""
    if not seen:
        return 0
    values = {"last_seen": at} if deadline is None else {"last_seen": at, "deadline": deadline}
    rows, done = sorted(seen), 0
    for start in range(0, len(rows), 500):
        some = sa.tuple_(t.host.c.id, t.host.c.session_gen).in_(rows[start : start + 500])
        # Locked in order first: an update alone takes its rows in any, and might wait in a circle with another.
        conn.execute(sa.select(t.host.c.id).where(some).order_by(t.host.c.id).with_for_update(key_share=True))
        done += conn.execute(sa.update(t.host).where(some).values(**values)).rowcount
    return done


def overdue(conn: Connection, at: float, *, collector: str | None = None, lead: bool = False) -> list[Host]:
    """Hosts whose deadline has passed, the longest first; whoever acts on one takes it by `claim_deadline`.

    With `collector` only those it may judge: the ones it holds and, if it has the lead, those nobody alive holds.
    """
    query = _HOSTS.where(t.host.c.deadline <= at, t.host.c.retired_at.is_(None)).order_by(t.host.c.deadline)
    if collector is not None:
        holder = t.host.c.collector_id
        mine = holder == collector
        query = query.where(sa.or_(mine, sa.not_(alive(holder, at))) if lead else mine)
    return [_host(row) for row in conn.execute(query)]


def claim_deadline(conn: Connection, host_id: str, gen: int, old: float | None, new: float | None) -> bool:
    """Move a deadline from what it was seen to be; False: somebody else moved it first, or a newer session did."""
    done = conn.execute(
        sa.update(t.host)
        .where(t.host.c.id == host_id, t.host.c.session_gen == gen, t.host.c.deadline.is_not_distinct_from(old))
        .values(deadline=new)
    )
    return done.rowcount == 1


def unattended(conn: Connection, at: float) -> list[Host]:
    """Hosts in service that no living collector holds, by id."""
    query = _HOSTS.where(t.host.c.retired_at.is_(None), sa.not_(alive(t.host.c.collector_id, at)))
    return [_host(row) for row in conn.execute(query.order_by(t.host.c.id))]


def attend(conn: Connection, collector: str, at: float) -> list[Host]:
    """Take the unattended hosts, as they are then. A former holder that wakes up is fenced."""
    c = t.host.c
    free = sa.and_(c.retired_at.is_(None), sa.not_(alive(c.collector_id, at)))
    ids = list(conn.scalars(sa.select(c.id).where(free).order_by(c.id).with_for_update(skip_locked=True)))
    taken: list[Host] = []
    for start in range(0, len(ids), 500):
        some = c.id.in_(ids[start : start + 500])
        next_gen = sa.case((c.collector_id.is_(None), c.session_gen), else_=c.session_gen + 1)
        conn.execute(sa.update(t.host).where(some, free).values(collector_id=collector, session_gen=next_gen))
        rows = conn.execute(_HOSTS.where(some, c.collector_id == collector).order_by(c.id))
        taken += (_host(row) for row in rows)
    return taken


def holders(conn: Connection) -> dict[str, tuple[int, str | None]]:
    """(generation, holder) by instance of every host in service."""
    c = t.host.c
    rows = conn.execute(sa.select(c.instance, c.session_gen, c.collector_id).where(c.retired_at.is_(None)))
    return {row.instance: (row.session_gen, row.collector_id) for row in rows}


def fence(conn: Connection, instances: Iterable[str]) -> dict[str, tuple[int, str | None]]:
    """(generation, holder) of the hosts in service with these instances; so it stays to the end of the transaction.

    Locked in the order of their ids, and only against a change of holder: presence is written meanwhile.
    """
    wanted, c = sorted(set(instances)), t.host.c
    found: dict[str, tuple[int, str | None]] = {}
    for start in range(0, len(wanted), 500):
        some = c.instance.in_(wanted[start : start + 500]) & c.retired_at.is_(None)
        query = sa.select(c.instance, c.session_gen, c.collector_id).where(some)
        rows = conn.execute(query.order_by(c.id).with_for_update(read=True, key_share=True))
        found |= {row.instance: (row.session_gen, row.collector_id) for row in rows}
    return found


def _changed(said: Opening, known: Host) -> dict[str, object]:
    """What an agent says of itself that differs from its row."""
    told = {"facts": plain(dict(said.facts)), "agent_version": line(said.version, NAME)}
    if said.fingerprint:
        told["machine_fingerprint"] = line(said.fingerprint, NAME)
    return {name: value for name, value in told.items() if value != getattr(known, name)}


def _lock(conn: Connection, ids: Iterable[str]) -> None:
    """What waits for `fence`, where an update alone would not."""
    conn.execute(sa.select(t.host.c.id).where(t.host.c.id.in_(sorted(ids))).order_by(t.host.c.id).with_for_update())


def retire(conn: Connection, host_id: str, at: float) -> bool:
    """Take a host out of service: it has no deadline, no session and no valid certificate any more."""
    values = {"retired_at": at, "revoked_at": sa.func.coalesce(t.host.c.revoked_at, at)}
    return _end(conn, host_id, at, {**values, "presence": "retired", "presence_reason": "", "presence_since": at})


def revoke(conn: Connection, host_id: str, at: float) -> bool:
    """Refuse a host's identity from now on; it stays in the list."""
    return _end(conn, host_id, at, {"revoked_at": at})


def current(conn: Connection, gens: Mapping[str, int]) -> frozenset[str]:
    """Which of these hosts (by id) still have this generation; it stays so to the end of the transaction."""
    c, ids, found = t.host.c, sorted(gens), set()
    for start in range(0, len(ids), 500):
        query = sa.select(c.id, c.session_gen).where(c.id.in_(ids[start : start + 500])).order_by(c.id)
        rows = conn.execute(query.with_for_update(read=True, key_share=True))
        found |= {row.id for row in rows if row.session_gen == gens[row.id]}
    return frozenset(found)


def add_host_event(
    conn: Connection, host_id: str, at: float, kind: str, detail: Mapping[str, object] | None = None
) -> int:
    """One line on a host's timeline; its id."""
    new = sa.insert(t.host_event).values(host_id=host_id, at=at, kind=kind, detail=plain(dict(detail or {})))
    return int(conn.scalar(new.returning(t.host_event.c.id)) or 0)


def add_host_events(conn: Connection, lines: Iterable[Line]) -> None:
    """Lines on hosts' timelines, in this order."""
    rows = [
        {"host_id": one.host_id, "at": one.at, "kind": one.kind, "detail": plain(dict(one.detail))} for one in lines
    ]
    insert_rows(conn, t.host_event, rows, _written)


def add_once(conn: Connection, lines: Sequence[Once]) -> list[Once]:
    """Write those lines that are not there yet, each on its host's timeline; which they were."""
    e = t.host_event.c
    there: dict[tuple[str, str], list[tuple[float, Mapping[str, object]]]] = {}
    ids, kinds = sorted({one.host_id for one in lines}), sorted({one.kind for one in lines})
    for start in range(0, len(ids), 500):
        since = min(one.since for one in lines)
        some = (e.host_id.in_(ids[start : start + 500]), e.kind.in_(kinds), e.at >= since)
        for row in conn.execute(sa.select(e.host_id, e.kind, e.at, e.detail).where(*some)):
            there.setdefault((row.host_id, row.kind), []).append((row.at, row.detail))
    new = [
        one
        for one in lines
        if not any(
            at >= one.since and one.same.items() <= detail.items()
            for at, detail in there.get((one.host_id, one.kind), ())
        )
    ]
    add_host_events(conn, (Line(one.host_id, one.at, one.kind, {**one.same, **one.detail}) for one in new))
    return new


def _written(new: Insert) -> ReturningInsert[Any]:
    return new.returning(t.host_event.c.id)


def host_events(conn: Connection, host_id: str, *, limit: int = 100) -> list[HostEvent]:
    """A host's timeline, newest first."""
    query = sa.select(t.host_event).where(t.host_event.c.host_id == host_id)
    rows = conn.execute(query.order_by(t.host_event.c.at.desc(), t.host_event.c.id.desc()).limit(limit))
    return [HostEvent(r.id, r.host_id, r.at, r.kind, r.detail) for r in rows]


def by_instances(conn: Connection, instances: Iterable[str]) -> dict[str, Host]:
    """Hosts by instance, in one query per 500; an empty instance is nobody's."""
    wanted = sorted(set(instances) - {""})
    found: dict[str, Host] = {}
    for start in range(0, len(wanted), 500):
        rows = conn.execute(_BY_INSTANCE, {"instances": wanted[start : start + 500]})
        found |= {row.instance: _host(row) for row in rows}
    return found


def _end(conn: Connection, host_id: str, at: float, values: Mapping[str, object]) -> bool:
    """The generation moves too: whatever session the host still has is fenced."""
    _lock(conn, (host_id,))
    done = conn.execute(
        sa.update(t.host)
        .where(t.host.c.id == host_id, t.host.c.retired_at.is_(None))
        .values(deadline=None, session_gen=t.host.c.session_gen + 1, **values)
    )
    certificates = sa.update(t.certificate).where(t.certificate.c.host_id == host_id)
    conn.execute(certificates.where(t.certificate.c.revoked_at.is_(None)).values(revoked_at=at))
    return done.rowcount == 1


def _company(row: Row[Any]) -> Company:
    return Company(row.id, row.slug, row.name, row.created_at)


def _host(row: Row[Any]) -> Host:
    fields = row._asdict()
    return Host(class_=fields.pop("class"), **fields)
