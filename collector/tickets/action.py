"""What a person or a program may do to a ticket, as values, and what comes of it; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from collector.tickets import text
from collector.tickets.desk import DEFAULT_POLICY, Policy
from collector.tickets.entry import Change, Entry, EntryKind
from collector.tickets.errors import NotAllowed
from collector.tickets.priority import Level, priority
from collector.tickets.ticket import TRANSITIONS, Actor, Status, Ticket


@dataclass(frozen=True, slots=True)
class Take:
    """The actor takes the ticket and starts."""


@dataclass(frozen=True, slots=True)
class Assign:
    """Give it to a user; None puts it back. `name` is for the timeline."""

    user_id: int | None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """To another status; `resolution` says how it was solved, with resolved and closed only."""

    status: Status
    resolution: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "resolution", text.optional("resolution", self.resolution, text.COMMENT))


@dataclass(frozen=True, slots=True)
class Comment:
    """Words for the requester (`public`) or for colleagues only."""

    text: str
    public: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", text.required("comment", self.text, text.COMMENT))


@dataclass(frozen=True, slots=True)
class SetPriority:
    """Impact and urgency; the matrix says the priority."""

    impact: Level
    urgency: Level


@dataclass(frozen=True, slots=True)
class SetQueue:
    """Escalate to another queue; whoever had it no longer has it."""

    queue: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "queue", text.required("queue", self.queue, text.NAME))


Action = Take | Assign | Move | Comment | SetPriority | SetQueue


def apply(ticket: Ticket, action: Action, actor: Actor, at: float, *, policy: Policy = DEFAULT_POLICY) -> Change:
    """The ticket after one action; raises NotAllowed. A change without entries means it was so already."""
    change = _act(ticket, action, actor, at, policy)
    if change and actor.human and change.after.first_reaction_at is None:
        return replace(change, after=replace(change.after, first_reaction_at=at))
    return change


def apply_all(
    ticket: Ticket, actions: Sequence[Action], actor: Actor, at: float, *, policy: Policy = DEFAULT_POLICY
) -> Change:
    """All actions in order as one change; raises NotAllowed and then nothing has happened."""
    after = ticket
    entries: tuple[Entry, ...] = ()
    for action in actions:
        change = apply(after, action, actor, at, policy=policy)
        after, entries = change.after, (*entries, *change.entries)
    return Change(ticket, after, entries)


def allowed(ticket: Ticket) -> tuple[Status, ...]:
    """The statuses a person may move it to, in the order of the work."""
    return tuple(s for s in Status if s in TRANSITIONS[ticket.status] and s is not Status.NEW)


def _act(ticket: Ticket, action: Action, actor: Actor, at: float, policy: Policy) -> Change:
    match action:
        case Take():
            return _take(ticket, actor)
        case Assign():
            return _assign(ticket, action)
        case Move():
            return _move(ticket, action, at, policy)
        case Comment():
            kind = EntryKind.COMMENT if action.public else EntryKind.NOTE
            return Change(ticket, ticket, (Entry(kind, action.text, action.public),))
        case SetPriority():
            return _set_priority(ticket, action, policy)
        case SetQueue():
            return _set_queue(ticket, action)


def _take(ticket: Ticket, actor: Actor) -> Change:
    if actor.id is None:
        raise NotAllowed("only a person with an account can take a ticket")
    if not ticket.open:
        raise NotAllowed(f"{ticket.number} is {ticket.status.value}; reopen it first")
    if ticket.assignee_id == actor.id and ticket.status is Status.IN_PROGRESS:
        return Change(ticket, ticket)
    after = replace(ticket, assignee_id=actor.id, assignee=actor.name, status=Status.IN_PROGRESS)
    data = {"from": ticket.assignee, "status": ticket.status.value}
    return Change(ticket, after, (Entry(EntryKind.TAKEN, public=True, data=data),))


def _assign(ticket: Ticket, action: Assign) -> Change:
    if not ticket.open:
        raise NotAllowed(f"{ticket.number} is {ticket.status.value}; reopen it first")
    if ticket.assignee_id == action.user_id:
        return Change(ticket, ticket)
    name = action.name or None
    after = replace(ticket, assignee_id=action.user_id, assignee=name)
    return Change(ticket, after, (Entry(EntryKind.ASSIGNED, data={"from": ticket.assignee, "to": name}),))


def _move(ticket: Ticket, action: Move, at: float, policy: Policy) -> Change:
    status = action.status
    if status is ticket.status:
        return Change(ticket, ticket)
    if status not in allowed(ticket):
        raise NotAllowed(f"{ticket.number} is {ticket.status.value} and cannot become {status.value}")
    if not ticket.open and status is Status.IN_PROGRESS:
        return _reopen(ticket, at, policy)
    ends = status in {Status.RESOLVED, Status.CLOSED}
    if action.resolution and not ends:
        raise NotAllowed("a resolution goes with resolved or closed")
    after = replace(
        ticket,
        status=status,
        resolved_at=(ticket.resolved_at or at) if ends else None,
        closed_at=at if status is Status.CLOSED else None,
        resolution=action.resolution or ticket.resolution,
    )
    kind = EntryKind(status.value) if ends else EntryKind.STATUS
    data = {"from": ticket.status.value, "to": status.value}
    return Change(ticket, after, (Entry(kind, action.resolution, public=True, data=data),))


def _reopen(ticket: Ticket, at: float, policy: Policy) -> Change:
    if at - (ticket.resolved_at or ticket.updated_at) > policy.person_window:
        days = round(policy.person_window / 86_400)
        raise NotAllowed(f"{ticket.number} ended more than {days} days ago; open a new ticket")
    after = replace(ticket, status=Status.IN_PROGRESS, resolved_at=None, closed_at=None)
    return Change(ticket, after, (Entry(EntryKind.REOPENED, public=True, data={"from": ticket.status.value}),))


def _set_priority(ticket: Ticket, action: SetPriority, policy: Policy) -> Change:
    if (ticket.impact, ticket.urgency) == (action.impact, action.urgency):
        return Change(ticket, ticket)
    level = priority(action.impact, action.urgency, policy.matrix)
    after = replace(ticket, impact=action.impact, urgency=action.urgency, priority=level)
    data = {
        "from": ticket.priority.name,
        "to": level.name,
        "impact": action.impact.name.lower(),
        "urgency": action.urgency.name.lower(),
    }
    return Change(ticket, after, (Entry(EntryKind.PRIORITY, public=True, data=data),))


def _set_queue(ticket: Ticket, action: SetQueue) -> Change:
    if not ticket.open:
        raise NotAllowed(f"{ticket.number} is {ticket.status.value}; reopen it first")
    if ticket.queue == action.queue:
        return Change(ticket, ticket)
    after = replace(ticket, queue=action.queue, assignee_id=None, assignee=None)
    data = {"from": ticket.queue, "to": action.queue}
    return Change(ticket, after, (Entry(EntryKind.QUEUE, public=True, data=data),))
