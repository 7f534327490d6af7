"""The one door from any event - a rule, a webhook, a person - to a ticket change, each in one transaction."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from collector.alerts.alert import Alert, AlertChanges
from collector.hearing import current, hear, year
from collector.store import Connection, fencing, hosts, tickets, users
from collector.store.engine import Store
from collector.store.errors import StoreError
from collector.store.fencing import Holding
from collector.store.hosts import Scope
from collector.store.ticket_writes import Opening, Told, change_tickets, open_tickets
from collector.tickets import desk
from collector.tickets.action import Action, Assign, apply_all
from collector.tickets.desk import DEFAULT_POLICY, Close, Policy
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
        return self._run(lambda conn: hear(conn, changes, self._policy, at))

    def judged(self, changes: AlertChanges, at: float, holding: Holding) -> Judged:
        """As `alerts`, for one of several collectors: nothing is changed of hosts that others hold meanwhile."""
        if not changes:
            return Judged()

        def work(conn: Connection) -> Judged:
            kept, lost = fencing.fenced(conn, changes, holding)
            return Judged(hear(conn, kept, self._policy, at), lost)

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


def _open_by_person(
    conn: Connection, new: NewTicket, actor: Actor, policy: Policy, at: float, key: str | None, scope: Scope
) -> Ticket:
    policy = current(conn, policy)
    who = f"{actor.kind}:{actor.id if actor.id is not None else actor.name}"
    earlier = tickets.claim_request(conn, who, key) if key else None
    if earlier is not None and (found := tickets.find(conn, earlier, scope)) is not None:
        return found
    companies = {c.slug: c.id for c in hosts.companies(conn, scope)}
    if new.company not in companies:
        raise Invalid("company", f"there is no company {new.company!r}")
    level = priority(new.impact, new.urgency, policy.matrix)
    entry = Entry(EntryKind.OPENED, public=True, data={"priority": level.name, "source": new.source.value})
    opening = Opening(_checked(conn, new), companies[new.company], level, entry, actor.kind)
    (number,) = open_tickets(conn, [opening], actor, at, year=year(at))
    made = tickets.find(conn, number, None)
    assert made is not None  # noqa: S101 - it was opened by this transaction
    _seen(conn, actor, made.id, made.last_event)
    if key:
        tickets.keep_request(conn, who, key, made.id, at)
    tickets.touch_queue(conn, (made.company,))
    return made


def _checked(conn: Connection, new: NewTicket) -> NewTicket:
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
    ticket = tickets.find(conn, number, scope, lock=True)
    if ticket is None:
        raise NotFound(number)
    if version is not None and version != ticket.version:
        raise Conflict(ticket.number, ticket.version)
    change = apply_all(ticket, [_named(conn, a) for a in actions], actor, at, policy=current(conn, policy))
    if not change:
        return ticket
    _only_open_one(conn, change)
    written = tickets.change_ticket(conn, Told(change, actor.kind), actor, at)
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
    change_tickets(conn, [Told(desk.close(ticket, why, at), "system") for ticket in found], None, at)
    for ticket in found:
        _log.info("A ticket was closed.", extra={"action": f"ticket.{why['reason']}", "ticket": ticket.number})
    tickets.touch_queue(conn, (ticket.company for ticket in found))
    return [ticket.number for ticket in found]


def _settle(conn: Connection, policy: Policy, at: float) -> list[str]:
    decisions = [desk.settle(ticket, policy, at) for ticket in tickets.settling(conn, at - policy.settle)]
    closed = [one.change for one in decisions if isinstance(one, Close)]
    change_tickets(conn, [Told(change, "system") for change in closed], None, at)
    tickets.touch_queue(conn, (change.before.company for change in closed))
    return [change.before.number for change in closed]
