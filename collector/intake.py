"""The one door from any event - a rule, a webhook, a person - to a ticket change, each in one transaction."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, EventKind
from collector.store import Connection, fencing, hosts, settings, tickets, users
from collector.store import alerts as alert_rows
from collector.store.alerts import Episode
from collector.store.engine import Store
from collector.store.errors import StoreError
from collector.store.fencing import Holding
from collector.store.hosts import Scope
from collector.tickets import desk
from collector.tickets.action import Action, Assign, apply_all
from collector.tickets.desk import DEFAULT_POLICY, Close, Nothing, Open, Place, Policy, Reopen
from collector.tickets.entry import Change, Entry, EntryKind
from collector.tickets.errors import Conflict, Invalid, NotAllowed, NotFound
from collector.tickets.priority import priority
from collector.tickets.text import NAME, line
from collector.tickets.ticket import Actor, NewTicket, Ticket

__all__ = ["Actor", "Conflict", "Intake", "Invalid", "NotAllowed", "NotFound", "Policy", "Scope"]

ATTEMPTS = 5
SILENCE = ("HostSilent", "HostNotBack")  # rules whose tickets a late goodbye explains

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one collector's evaluation: alerts as stored, and what it holds no longer (see `fencing`)."""

    stored: Sequence[Alert] = ()
    lost: frozenset[str] = frozenset()


class Intake:
    """Writes tickets. Safe to share between threads; holds nothing but the store and the policy.

    The priority matrix an admin set is read in each transaction that may need it: a change counts from then on.
    """

    def __init__(self, store: Store, policy: Policy = DEFAULT_POLICY) -> None:
        self._store = store
        self._policy = policy

    def alerts(self, changes: AlertChanges, at: float) -> Sequence[Alert]:
        """Commit one evaluation: alert rows, episodes, tickets, timelines; returns the alerts as stored.

        Raises StoreError and then nothing was written, or the commit's outcome is not known: calling again with the
        same changes is safe. Nothing is opened for empty changes.
        """
        if not changes:
            return ()
        return self._run(lambda conn: _alerts(conn, changes, self._policy, at))

    def judged(self, changes: AlertChanges, at: float, holding: Holding) -> Judged:
        """As `alerts`, for one of several collectors: nothing is changed of hosts that others hold meanwhile."""
        if not changes:
            return Judged()

        def work(conn: Connection) -> Judged:
            kept, lost = fencing.fenced(conn, changes, holding)
            return Judged(_alerts(conn, kept, self._policy, at), lost)

        return self._run(work)

    def open_by_person(
        self, new: NewTicket, actor: Actor, at: float, *, idempotency_key: str | None = None, scope: Scope = None
    ) -> Ticket:
        """Open a ticket for somebody; the same actor's same key gives the same ticket.

        Raises Invalid for a company that is not in scope or a host that is not the company's, StoreError.
        """
        return self._run(lambda conn: _open_by_person(conn, new, actor, self._policy, at, idempotency_key, scope))

    def act(
        self,
        number: str,
        actions: Sequence[Action],
        actor: Actor,
        at: float,
        *,
        version: int | None = None,
        scope: Scope = None,
    ) -> Ticket:
        """All actions or none, as one change; returns the ticket as it is then.

        Raises NotFound, Conflict where `version` is not the current one, NotAllowed, StoreError.
        """
        return self._run(lambda conn: _act(conn, number, actions, actor, self._policy, at, version, scope))

    def late_notice(self, host_id: str, reason: str, at: float) -> list[str]:
        """A silence was explained at the host's return: close the rules' tickets about it; the numbers.

        The episode stays spent: its recovery, which follows, finds nothing to do.
        """
        return self._run(lambda conn: _late_notice(conn, host_id, reason, at))

    def retire(self, host_id: str, at: float) -> bool:
        """Take a host out of service and close what rules opened about it; False where none is in service."""
        return self._run(lambda conn: _retire(conn, host_id, at))

    def settle(self, at: float) -> list[str]:
        """Close what recovered long enough ago and nobody touched; the numbers. For the worker's tick."""
        closed: list[str] = []
        while batch := self._run(lambda conn: _settle(conn, self._policy, at)):
            closed += batch
        return closed

    def _run(self, work: Callable[[Connection], _T]) -> _T:
        """`work` in one transaction, again where it lost a race, five times at most."""
        for _ in range(ATTEMPTS - 1):
            try:
                with self._store.write() as conn:
                    return work(conn)
            except StoreError as error:
                if not error.again:
                    raise
                _log.info("A transaction lost a race and is run again.", extra={"action": "intake.again"})
        with self._store.write() as conn:
            return work(conn)


@dataclass(slots=True)
class _Desk:
    """What one transaction knows while it works through events: locked episodes and their tickets as they change."""

    episodes: dict[str, Episode]
    open: dict[str, Ticket]
    ended: dict[str, Ticket]
    places: dict[str, Place]  # by key
    touched: set[str]  # company slugs


def _current(conn: Connection, policy: Policy) -> Policy:
    return replace(policy, matrix=settings.matrix(conn, policy.matrix))


def _alerts(conn: Connection, changes: AlertChanges, policy: Policy, at: float) -> tuple[Alert, ...]:
    if not changes:
        return ()
    policy = _current(conn, policy) if changes.events else policy
    state = _state(conn, changes.events)
    unknown_since = {a.key: a.unknown_since for a in changes.upserts}
    for event in changes.events:
        _hear(conn, event, state, policy, at, unknown_since.get(event.key))
    stored = tuple(_numbered(a, state.episodes) for a in changes.upserts)
    alert_rows.write_alerts(conn, stored)
    alert_rows.delete_alerts(conn, changes.deletes)
    tickets.touch_queue(conn, state.touched)
    return stored


def _numbered(alert: Alert, episodes: dict[str, Episode]) -> Alert:
    episode = episodes.get(alert.key)
    return alert if episode is None else replace(alert, episode=episode.number)


def _state(conn: Connection, events: Sequence[AlertEvent]) -> _Desk:
    """Lock first, read after: what is read then stays true to the end of the transaction."""
    ids = {c.slug: c.id for c in hosts.companies(conn)} if events else {}
    places = _places(conn, events, list(ids))
    keys = {e.key: ids[places[e.key].company] for e in events}
    episodes = alert_rows.lock_episodes(conn, keys)
    slugs = {number: slug for slug, number in ids.items()}
    places = {k: _placed(p, slugs[episodes[k].company_id]) for k, p in places.items()}
    return _Desk(episodes, tickets.open_by_key(conn, keys), tickets.ended_by_key(conn, keys), places, set())


def _placed(place: Place, company: str) -> Place:
    """A problem stays with the company that had it first."""
    return place if place.company == company else Place(company, None, place.host)


def _places(conn: Connection, events: Iterable[AlertEvent], known: Sequence[str]) -> dict[str, Place]:
    """Company by label where it is a known one, else by the host of the instance, else the installation's first."""
    by_key = {e.key: e for e in events}
    if by_key and not known:
        raise StoreError("there is no company yet; run `czuwak init` first")
    owners = hosts.by_instances(conn, (e.labels.get("instance") for e in by_key.values()))
    places = {}
    for key, event in by_key.items():
        owner = owners.get(event.labels.get("instance"))
        said = event.labels.get("company")
        company = said if said in known else owner.company if owner else known[0]
        ours = owner is not None and owner.company == company
        places[key] = Place(company, owner.id, owner.name) if owner and ours else Place(company)
    return places


def _hear(
    conn: Connection, event: AlertEvent, state: _Desk, policy: Policy, at: float, unknown_since: float | None
) -> None:
    episode = state.episodes[event.key]
    if event.kind is EventKind.FIRED and event.started_at != episode.started_at:
        episode = state.episodes[event.key] = alert_rows.next_episode(conn, episode, event.started_at)
    elif episode.started_at is not None and event.started_at < episode.started_at:
        return  # of an episode that is over
    if not desk.wants_ticket(event):
        _enter(conn, event, episode.number, state.places[event.key])
        return
    open_, ended, place = state.open.get(event.key), state.ended.get(event.key), state.places[event.key]
    decision = desk.decide(
        event, open_, ended, policy, episode=episode.number, place=place, unknown_since=unknown_since
    )
    if isinstance(decision, Nothing):
        return
    source_key = _source_key(event, episode.number)
    if isinstance(decision, Open):
        ticket = _open(conn, decision, event.source, source_key, policy, at)
    else:
        ticket = _write(conn, decision.change, None, at, source=event.source, source_key=source_key)
    _remember(state, event.key, ticket, gone=ticket.closed_at is not None)
    told = isinstance(decision, (Open, Reopen, Close)) or bool(decision.change.entries) or _retitled(decision.change)
    if told:
        state.touched.add(ticket.company)
        _log.info(
            "An alert's event changed a ticket.",
            extra={"action": f"ticket.{type(decision).__name__.lower()}", "ticket": ticket.number},
        )


def _enter(conn: Connection, event: AlertEvent, episode: int, place: Place) -> None:
    """A condition that opens no ticket is told once on its host's page; one of no host we know is only an alert."""
    entry = desk.enter(event)
    if isinstance(entry, Nothing) or place.host_id is None:
        return
    same = {"key": event.key, "episode": episode}
    if hosts.has_host_event(conn, place.host_id, entry.kind, event.started_at, same):
        return
    hosts.add_host_event(conn, place.host_id, event.at, entry.kind, {**same, **entry.detail})
    _log.info("A condition went on its host's page.", extra={"action": f"host.{entry.kind}", "host": place.host})


def _retitled(change: Change) -> bool:
    return change.before.title != change.after.title


def _remember(state: _Desk, key: str, ticket: Ticket, *, gone: bool) -> None:
    if gone:
        state.open.pop(key, None)
        state.ended[key] = ticket
    else:
        state.ended.pop(key, None)
        state.open[key] = ticket


def _source_key(event: AlertEvent, episode: int) -> str:
    """An episode fires, recovers and goes once; the rest may happen more often."""
    once = event.kind in {EventKind.FIRED, EventKind.RECOVERED, EventKind.GONE}
    return f"{event.key}/{episode}/{event.kind.value}" + ("" if once else f"/{event.at!r}")


def _open(conn: Connection, decision: Open, source: str, source_key: str, policy: Policy, at: float) -> Ticket:
    if decision.closes is not None:
        _write(conn, decision.closes, None, at, source="system", source_key=None)
    new = decision.new
    level = priority(new.impact, new.urgency, policy.matrix)
    made = tickets.insert_ticket(conn, new, level, at, year=_year(at))
    if made is None:
        raise StoreError("somebody else opened a ticket for the same problem first", again=True)
    data = {"priority": made.priority.name, "value": new.value, "rule": new.rule_name, "source": new.source.value}
    entry = Entry(EntryKind.OPENED, public=True, data=data)
    last = tickets.add_events(conn, made.id, (entry,), None, at, source=source, source_event_key=source_key)
    return replace(made, last_event=last)


def _write(
    conn: Connection, change: Change, actor: Actor | None, at: float, *, source: str, source_key: str | None
) -> Ticket:
    written = tickets.update_ticket(conn, change.before, change.after, at, tells=bool(change.entries))
    last = tickets.add_events(conn, written.id, change.entries, actor, at, source=source, source_event_key=source_key)
    return replace(written, last_event=last or written.last_event)


def _open_by_person(
    conn: Connection, new: NewTicket, actor: Actor, policy: Policy, at: float, key: str | None, scope: Scope
) -> Ticket:
    policy = _current(conn, policy)
    who = f"{actor.kind}:{actor.id if actor.id is not None else actor.name}"
    earlier = tickets.claim_request(conn, who, key) if key else None
    if earlier is not None and (found := tickets.find(conn, earlier, scope)) is not None:
        return found
    made = tickets.insert_ticket(
        conn, _checked(conn, new, scope), priority(new.impact, new.urgency, policy.matrix), at, year=_year(at)
    )
    if made is None:
        raise StoreError("somebody else opened a ticket for the same problem first", again=True)
    data = {"priority": made.priority.name, "source": new.source.value}
    entry = Entry(EntryKind.OPENED, public=True, data=data)
    last = tickets.add_events(conn, made.id, (entry,), actor, at, source=actor.kind)
    _seen(conn, actor, made.id, last)
    if key:
        tickets.keep_request(conn, who, key, made.id, at)
    tickets.touch_queue(conn, (made.company,))
    return replace(made, last_event=last)


def _checked(conn: Connection, new: NewTicket, scope: Scope) -> NewTicket:
    if new.company not in {c.slug for c in hosts.companies(conn, scope)}:
        raise Invalid("company", f"there is no company {new.company!r}")
    if new.host_id is None:
        return new
    host = hosts.host(conn, new.host_id, frozenset({new.company}))
    if host is None:
        raise Invalid("host", "this company has no such host")
    return replace(new, host=host.name, instance=host.instance)


def _act(
    conn: Connection,
    number: str,
    actions: Sequence[Action],
    actor: Actor,
    policy: Policy,
    at: float,
    version: int | None,
    scope: Scope,
) -> Ticket:
    current = tickets.find(conn, number, scope, lock=True)
    if current is None:
        raise NotFound(number)
    if version is not None and version != current.version:
        raise Conflict(current.number, current.version)
    change = apply_all(current, [_named(conn, a) for a in actions], actor, at, policy=_current(conn, policy))
    if not change:
        return current
    _only_open_one(conn, change)
    written = _write(conn, change, actor, at, source=actor.kind, source_key=None)
    _seen(conn, actor, written.id, written.last_event)
    tickets.touch_queue(conn, (written.company,))
    _log.info("A ticket was changed.", extra={"action": "ticket.act", "ticket": written.number})
    return written


def _named(conn: Connection, action: Action) -> Action:
    """An assignment to somebody who exists, with their name for the timeline."""
    if not isinstance(action, Assign) or action.user_id is None:
        return action
    user = users.user(conn, action.user_id)
    if user is None or user.disabled_at is not None:
        raise NotAllowed("there is no such person to give it to")
    return replace(action, name=user.name)


def _only_open_one(conn: Connection, change: Change) -> None:
    """A closed ticket cannot be reopened beside the one its problem has got since."""
    key = change.before.dedup_key
    if key is None or change.before.closed_at is None or change.after.closed_at is not None:
        return
    other = tickets.open_by_key(conn, (key,)).get(key)
    if other is not None:
        raise NotAllowed(f"{other.number} is open for the same problem")


def _seen(conn: Connection, actor: Actor, ticket_id: int, event_id: int) -> None:
    if actor.human and actor.id is not None:
        tickets.mark_read(conn, actor.id, ticket_id, event_id)


def _late_notice(conn: Connection, host_id: str, reason: str, at: float) -> list[str]:
    found = [ticket for ticket in tickets.open_by_rules(conn, host_id, SILENCE) if ticket.open]
    return _close_all(conn, found, {"reason": "late_notice", "absence": line(reason, NAME)}, at)


def _retire(conn: Connection, host_id: str, at: float) -> bool:
    if not hosts.retire(conn, host_id, at):
        return False
    hosts.add_host_event(conn, host_id, at, "retired")
    _close_all(conn, tickets.open_by_rules(conn, host_id, None), {"reason": "retired"}, at)
    return True


def _close_all(conn: Connection, found: Sequence[Ticket], why: Mapping[str, object], at: float) -> list[str]:
    for ticket in found:
        change = desk.close(ticket, why, at)
        _write(conn, change, None, at, source="system", source_key=None)
        _log.info("A ticket was closed.", extra={"action": f"ticket.{why['reason']}", "ticket": ticket.number})
    tickets.touch_queue(conn, (ticket.company for ticket in found))
    return [ticket.number for ticket in found]


def _settle(conn: Connection, policy: Policy, at: float) -> list[str]:
    closed = []
    for ticket in tickets.settling(conn, at - policy.settle):
        decision = desk.settle(ticket, policy, at)
        if isinstance(decision, Close):
            closed.append(_write(conn, decision.change, None, at, source="system", source_key=None))
    tickets.touch_queue(conn, (t.company for t in closed))
    return [t.number for t in closed]


def _year(at: float) -> int:
    return datetime.fromtimestamp(at if math.isfinite(at) else 0.0, UTC).year
