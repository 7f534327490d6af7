"""Who decides what an alert's event does to tickets: open, update, recover, reopen, mark, close or nothing. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from collector.alerts.alert import AlertEvent, EventKind
from collector.labels import Labels
from collector.tickets.entry import Change, Entry, EntryKind
from collector.tickets.priority import DEFAULT_MATRIX, Matrix, levels, priority
from collector.tickets.text import DESCRIPTION, NAME, TITLE, clean, line
from collector.tickets.ticket import Kind, NewTicket, Source, Status, Ticket


@dataclass(frozen=True, slots=True)
class Policy:
    """A company's choices; durations in seconds."""

    settle: float = 300.0  # a recovered ticket nobody touched closes itself after this
    reopen_window: float = 86_400.0  # a fault coming back within this reopens its ticket
    person_window: float = 14 * 86_400.0  # a person may reopen within this
    raise_on_severity: bool = True
    matrix: Matrix = field(default_factory=lambda: DEFAULT_MATRIX)


DEFAULT_POLICY = Policy()
OUTAGE_RULES = ("SiteSilent", "FleetSilent")  # their value is how many hosts are away


@dataclass(frozen=True, slots=True)
class Place:
    """Where an alert belongs: company slug, and its host where we know it."""

    company: str
    host_id: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class HostEntry:
    """No ticket: a line on the host's timeline, `condition` or `condition_over`, for rules labelled ticket="no"."""

    kind: str
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Nothing:
    """No ticket changes; `reason` for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class Open:
    """A new ticket; `closes` ends a resolved one of the same key whose reopen window is over."""

    new: NewTicket
    closes: Change | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """The open ticket hears more: fired again, or other words or severity."""

    change: Change


@dataclass(frozen=True, slots=True)
class Recover:
    """The fault is proven gone; the ticket is marked."""

    change: Change


@dataclass(frozen=True, slots=True)
class Reopen:
    """The same fault within the window: the same ticket goes on."""

    change: Change


@dataclass(frozen=True, slots=True)
class MarkUnknown:
    """No data any more."""

    change: Change


@dataclass(frozen=True, slots=True)
class MarkKnown:
    """Data is back and the fault is still there."""

    change: Change


@dataclass(frozen=True, slots=True)
class CloseGone:
    """The object is not reported any more."""

    change: Change


@dataclass(frozen=True, slots=True)
class Close:
    """A recovered ticket nobody touched has settled."""

    change: Change


Decision = Open | Update | Recover | Reopen | MarkUnknown | MarkKnown | CloseGone | Close | Nothing


def decide(
    event: AlertEvent,
    open_: Ticket | None,
    last: Ticket | None,
    policy: Policy = DEFAULT_POLICY,
    *,
    episode: int,
    place: Place | None = None,
    unknown_since: float | None = None,
) -> Decision:
    """What `event` does, given the key's ticket that is not closed and the one closed last.

    `episode` is the event's, counted by the database. `place` is needed where a ticket may be opened; without it the
    labels say. `unknown_since` is when the alert was last considered, `event.at` where it is not known.
    """
    if event.kind is EventKind.FIRED:
        return _fired(event, open_, last, policy, episode, place or _place(event))
    if open_ is None or not open_.open:
        return _ended(event, open_)
    return _goes_on(event, open_, policy, event.at if unknown_since is None else unknown_since)


def wants_ticket(event: AlertEvent) -> bool:
    """Whether the rule asks for tickets; one labelled ticket="no" only wants to be seen on its host's page."""
    return event.labels.get("ticket") != "no"


def enter(event: AlertEvent) -> HostEntry | Nothing:
    """What an event of a rule that wants no ticket writes on its host's timeline."""
    if event.kind not in {EventKind.FIRED, EventKind.RECOVERED, EventKind.GONE}:
        return Nothing("neither begins nor ends")
    detail: dict[str, object] = {
        "rule": line(event.rule_name, NAME),
        "summary": _title(event),
        "summary_pl": line(event.annotations.get("summary_pl", ""), TITLE),
        "value": event.value if math.isfinite(event.value) else None,
    }
    if event.kind is EventKind.FIRED:
        return HostEntry("condition", detail)
    return HostEntry("condition_over", {**detail, "reason": event.kind.value})


def settle(ticket: Ticket, policy: Policy, at: float) -> Decision:
    """Close a ticket that recovered at least `policy.settle` ago and that no person touched."""
    if not ticket.open or not ticket.untouched or ticket.recovered_at is None:
        return Nothing("not a recovered ticket nobody touched")
    if at - ticket.recovered_at < policy.settle:
        return Nothing("not settled yet")
    entry = Entry(EntryKind.CLOSED, public=True, data={"reason": "recovered", "recovered_at": ticket.recovered_at})
    return Close(_close(ticket, at, entry))


def close(ticket: Ticket, why: Mapping[str, object], at: float) -> Change:
    """An open ticket ends because what it is about has been explained, or is of no interest any more."""
    return _close(ticket, at, Entry(EntryKind.CLOSED, public=True, data=dict(why)))


def _fired(
    event: AlertEvent, open_: Ticket | None, last: Ticket | None, policy: Policy, episode: int, place: Place
) -> Decision:
    for ticket in (open_, last):
        if ticket is not None and ticket.episode >= episode:
            return Nothing("this episode has had its ticket")
    if open_ is not None and open_.open:
        return Update(_again(event, open_, policy, episode, Entry(EntryKind.FIRED_AGAIN, data=_facts(event))))
    ended = open_ or last
    if ended is not None and event.at - (ended.resolved_at or ended.updated_at) <= policy.reopen_window:
        entry = Entry(EntryKind.REOPENED, public=True, data={"from": ended.status.value, **_facts(event)})
        return Reopen(_again(event, _back(ended), policy, episode, entry, before=ended))
    return Open(_new(event, place, episode), _superseded(open_, event.at))


def _goes_on(event: AlertEvent, ticket: Ticket, policy: Policy, unknown_since: float) -> Decision:
    match event.kind:
        case EventKind.CHANGED:
            return _changed(event, ticket, policy)
        case EventKind.RECOVERED:
            return _recovered(event, ticket)
        case EventKind.UNKNOWN:
            return _unknown(ticket, unknown_since)
        case EventKind.KNOWN:
            return _known(ticket)
        case _:
            why = {"reason": event.reason} if event.reason else {}
            return CloseGone(_close(ticket, event.at, Entry(EntryKind.GONE, public=True, data=why)))


def _changed(event: AlertEvent, ticket: Ticket, policy: Policy) -> Decision:
    told = _told(event, ticket, policy)
    if (told.labels, told.annotations, told.title) == (ticket.labels, ticket.annotations, ticket.title):
        return Nothing("says what the ticket says already")
    # A value inside the words may change at every evaluation: the ticket follows, its timeline tells only what matters.
    if told.labels == ticket.labels and told.priority == ticket.priority:
        return Update(Change(ticket, told, _hosts(event, ticket)))
    return Update(Change(ticket, told, (Entry(EntryKind.CHANGED, data=_facts(event)), *_raised(ticket, told))))


def _hosts(event: AlertEvent, ticket: Ticket) -> tuple[Entry, ...]:
    """How an outage grows and shrinks is its story; the collector tells its number once a minute at most."""
    if event.rule_name not in OUTAGE_RULES or event.value == ticket.value:
        return ()
    return (Entry(EntryKind.HOSTS, data={"from": ticket.value, "to": event.value}),)


def _recovered(event: AlertEvent, ticket: Ticket) -> Decision:
    if ticket.recovered_at is not None:
        return Nothing("is marked as recovered already")
    proof = event.value
    after = replace(ticket, recovered_at=event.at, recovered_value=proof, unknown_since=None)
    return Recover(Change(ticket, after, (Entry(EntryKind.RECOVERED, public=True, data={"value": proof}),)))


def _unknown(ticket: Ticket, since: float) -> Decision:
    if ticket.unknown_since is not None or ticket.recovered_at is not None:
        return Nothing("is marked already")
    after = replace(ticket, unknown_since=since)
    return MarkUnknown(Change(ticket, after, (Entry(EntryKind.UNKNOWN, data={"since": since}),)))


def _known(ticket: Ticket) -> Decision:
    if ticket.unknown_since is None:
        return Nothing("has no mark")
    entry = Entry(EntryKind.KNOWN, data={"since": ticket.unknown_since})
    return MarkKnown(Change(ticket, replace(ticket, unknown_since=None), (entry,)))


def _ended(event: AlertEvent, ticket: Ticket | None) -> Decision:
    """A resolved ticket still hears that its fault is really gone: that is the proof of the repair."""
    if ticket is not None and event.kind is EventKind.RECOVERED:
        return _recovered(event, ticket)
    return Nothing("no open ticket")


def _again(
    event: AlertEvent, ticket: Ticket, policy: Policy, episode: int, entry: Entry, *, before: Ticket | None = None
) -> Change:
    told = replace(
        _told(event, ticket, policy),
        recovered_at=None,
        recovered_value=None,
        unknown_since=None,
        occurrences=ticket.occurrences + 1,
        episode=episode,
        evidence=event.evidence.as_json() if event.evidence else ticket.evidence,
    )
    return Change(before or ticket, told, (entry, *_raised(ticket, told)))


def _told(event: AlertEvent, ticket: Ticket, policy: Policy) -> Ticket:
    """The ticket with the event's words, and raised where the rule itself got more severe.

    A person who lowered the priority is overruled only by a severity higher than the one they saw.
    """
    impact, urgency = levels(event.labels.as_dict(), event.annotations)
    asked = priority(impact, urgency, policy.matrix)
    seen = priority(*levels(ticket.labels.as_dict(), ticket.annotations), policy.matrix)
    told = replace(
        ticket,
        title=_title(event),
        description=_description(event),
        labels=_labels(event.labels),
        annotations=_annotations(event.annotations),
        value=event.value,
    )
    if policy.raise_on_severity and asked < seen and asked < ticket.priority:
        return replace(told, impact=impact, urgency=urgency, priority=asked)
    return told


def _raised(before: Ticket, after: Ticket) -> tuple[Entry, ...]:
    if before.priority == after.priority:
        return ()
    data = {"from": before.priority.name, "to": after.priority.name, "reason": "severity"}
    return (Entry(EntryKind.PRIORITY, public=True, data=data),)


def _new(event: AlertEvent, place: Place, episode: int) -> NewTicket:
    impact, urgency = levels(event.labels.as_dict(), event.annotations)
    return NewTicket(
        company=place.company,
        title=_title(event),
        kind=Kind.INCIDENT_MONITORING,
        source=Source.ALERTMANAGER if event.source == "alertmanager" else Source.MONITORING,
        description=_description(event),
        host_id=place.host_id,
        host=place.host or line(event.labels.get("host") or event.labels.get("instance"), NAME) or None,
        instance=line(event.labels.get("instance"), NAME),
        queue=line(event.labels.get("queue") or event.annotations.get("queue", ""), NAME) or "helpdesk",
        impact=impact,
        urgency=urgency,
        dedup_key=event.key,
        episode=episode,
        rule=event.rule,
        rule_name=line(event.rule_name, NAME),
        labels=_labels(event.labels),
        annotations=_annotations(event.annotations),
        evidence=event.evidence.as_json() if event.evidence else None,
        value=event.value,
    )


def _place(event: AlertEvent) -> Place:
    return Place(event.labels.get("company") or "default", host=event.labels.get("host") or None)


def _title(event: AlertEvent) -> str:
    words = event.annotations.get("summary", "") or event.rule_name or event.labels.get("alertname")
    return line(words, TITLE) or "Alert without a name"


def _description(event: AlertEvent) -> str:
    return clean(event.annotations.get("description", ""), DESCRIPTION).strip()


def _labels(labels: Labels) -> Labels:
    return Labels.of((clean(n), clean(v)) for n, v in labels)


def _annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    return {clean(n): clean(v, DESCRIPTION) for n, v in annotations.items()}


def _facts(event: AlertEvent) -> dict[str, object]:
    return {"value": event.value, "started_at": event.started_at, "rule": event.rule_name}


def _back(ticket: Ticket) -> Ticket:
    return replace(ticket, status=Status.NEW, resolved_at=None, closed_at=None)


def _close(ticket: Ticket, at: float, entry: Entry) -> Change:
    after = replace(ticket, status=Status.CLOSED, resolved_at=ticket.resolved_at or at, closed_at=at)
    return Change(ticket, after, (entry,))


def _superseded(ticket: Ticket | None, at: float) -> Change | None:
    if ticket is None:
        return None
    return _close(ticket, at, Entry(EntryKind.CLOSED, public=True, data={"reason": "superseded"}))
