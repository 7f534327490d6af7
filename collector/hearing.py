"""What one evaluation's events do to tickets, in one transaction; statements are counted by kind, not by event."""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, EventKind
from collector.store import Connection, StoreError, hosts, settings, tickets
from collector.store import alerts as alert_rows
from collector.store.alerts import Episode
from collector.store.hosts import Once
from collector.store.ticket_writes import Opening, Told, change_tickets, open_tickets
from collector.tickets import desk
from collector.tickets.desk import Decision, Nothing, Open, Place, Policy
from collector.tickets.entry import Entry, EntryKind
from collector.tickets.priority import priority
from collector.tickets.ticket import Ticket

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Desk:
    """What one transaction knows while it works through events: companies by slug, locked episodes, places by key."""

    policy: Policy
    at: float
    companies: Mapping[str, int]
    places: Mapping[str, Place]
    episodes: dict[str, Episode]
    unknown_since: Mapping[str, float | None]
    touched: set[str] = field(default_factory=set)  # company slugs


def hear(conn: Connection, changes: AlertChanges, policy: Policy, at: float) -> tuple[Alert, ...]:
    """Write alert rows, episodes, tickets and timelines; returns the alerts as stored."""
    if not changes.events:
        return _stored(conn, changes, {})
    state = _state(conn, changes, policy, at)
    for events in _rounds(changes.events):
        _hear(conn, [event for event in events if _current(conn, event, state)], state)
    stored = _stored(conn, changes, state.episodes)
    tickets.touch_queue(conn, state.touched)
    return stored


def current(conn: Connection, policy: Policy) -> Policy:
    """The policy with the priority matrix that an admin set."""
    return replace(policy, matrix=settings.matrix(conn, policy.matrix))


def year(at: float) -> int:
    """For a ticket's number."""
    return datetime.fromtimestamp(at if math.isfinite(at) else 0.0, UTC).year


def _stored(conn: Connection, changes: AlertChanges, episodes: Mapping[str, Episode]) -> tuple[Alert, ...]:
    stored = tuple(replace(a, episode=episodes[a.key].number) if a.key in episodes else a for a in changes.upserts)
    alert_rows.write_alerts(conn, stored)
    alert_rows.delete_alerts(conn, changes.deletes)
    return stored


def _state(conn: Connection, changes: AlertChanges, policy: Policy, at: float) -> _Desk:
    """Lock first, read after: what is read then stays true to the end of the transaction."""
    ids = {c.slug: c.id for c in hosts.companies(conn)}
    places = _places(conn, changes.events, list(ids))
    first: dict[str, AlertEvent] = {}
    for event in changes.events:
        first.setdefault(event.key, event)
    began = {key: event.started_at for key, event in first.items() if event.kind is EventKind.FIRED}
    episodes = alert_rows.lock_episodes(conn, {key: ids[place.company] for key, place in places.items()}, began)
    slugs = {number: slug for slug, number in ids.items()}
    return _Desk(
        policy=current(conn, policy),
        at=at,
        companies=ids,
        places={key: _placed(place, slugs[episodes[key].company_id]) for key, place in places.items()},
        episodes=episodes,
        unknown_since={a.key: a.unknown_since for a in changes.upserts},
    )


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


def _rounds(events: Sequence[AlertEvent]) -> Iterator[list[AlertEvent]]:
    """The first event of each alert, then the second: nearly always all there is is in the first round."""
    rest = list(events)
    while rest:
        first: dict[str, AlertEvent] = {}
        later = [event for event in rest if first.setdefault(event.key, event) is not event]
        yield list(first.values())
        rest = later


def _current(conn: Connection, event: AlertEvent, state: _Desk) -> bool:
    """Whether it is of the episode that goes on; one that begins another makes it so."""
    episode = state.episodes[event.key]
    if event.kind is EventKind.FIRED and event.started_at != episode.started_at:
        state.episodes[event.key] = alert_rows.next_episode(conn, episode, event.started_at)
        return True
    return episode.started_at is None or event.started_at >= episode.started_at


def _hear(conn: Connection, events: Sequence[AlertEvent], state: _Desk) -> None:
    """At most one event of each alert: read what they may touch, decide, write."""
    asked = [event for event in events if desk.wants_ticket(event)]
    _enter(conn, (event for event in events if not desk.wants_ticket(event)), state)
    open_, ended = tickets.by_key(conn, (event.key for event in asked))
    opened: list[Opening] = []
    told: list[Told] = []
    done: list[tuple[str, str]] = []  # what the log says of which ticket
    for event in asked:
        decision = _decide(event, open_.get(event.key), ended.get(event.key), state)
        if isinstance(decision, Nothing):
            continue
        source_key = _source_key(event, state.episodes[event.key].number)
        if isinstance(decision, Open):
            opened.append(_opening(decision, event, source_key, state))
            told += [] if decision.closes is None else [Told(decision.closes, "system")]
        else:
            told.append(Told(decision.change, event.source, source_key))
            if decision.change.entries or decision.change.before.title != decision.change.after.title:
                state.touched.add(decision.change.before.company)
                done.append((type(decision).__name__.lower(), decision.change.before.number))
    change_tickets(conn, told, None, state.at)  # first: one that is closed makes room
    done += (("open", number) for number in open_tickets(conn, opened, None, state.at, year=year(state.at)))
    state.touched |= {opening.new.company for opening in opened}
    for what, number in done:
        _log.info("An alert's event changed a ticket.", extra={"action": f"ticket.{what}", "ticket": number})


def _decide(event: AlertEvent, open_: Ticket | None, ended: Ticket | None, state: _Desk) -> Decision:
    return desk.decide(
        event,
        open_,
        ended,
        state.policy,
        episode=state.episodes[event.key].number,
        place=state.places[event.key],
        unknown_since=state.unknown_since.get(event.key),
    )


def _opening(decision: Open, event: AlertEvent, source_key: str, state: _Desk) -> Opening:
    new = decision.new
    level = priority(new.impact, new.urgency, state.policy.matrix)
    data = {"priority": level.name, "value": new.value, "rule": new.rule_name, "source": new.source.value}
    entry = Entry(EntryKind.OPENED, public=True, data=data)
    return Opening(new, state.companies[new.company], level, entry, event.source, source_key)


def _enter(conn: Connection, events: Iterable[AlertEvent], state: _Desk) -> None:
    """A condition that opens no ticket is told once on its host's page; one of no host we know is only an alert."""
    lines: list[Once] = []
    for event in events:
        entry, place = desk.enter(event), state.places[event.key]
        if not isinstance(entry, Nothing) and place.host_id is not None:
            same = {"key": event.key, "episode": state.episodes[event.key].number}
            lines.append(Once(place.host_id, event.at, entry.kind, event.started_at, same, entry.detail))
    for line in hosts.add_once(conn, lines):
        _log.info("A condition went on its host's page.", extra={"action": f"host.{line.kind}", "host": line.host_id})


def _source_key(event: AlertEvent, episode: int) -> str:
    """An episode fires, recovers and goes once; the rest may happen more often."""
    once = event.kind in {EventKind.FIRED, EventKind.RECOVERED, EventKind.GONE}
    return f"{event.key}/{episode}/{event.kind.value}" + ("" if once else f"/{event.at!r}")
