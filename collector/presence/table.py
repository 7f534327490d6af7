"""Presence as a table: (state, event) -> standing. Pure: no clock, no database; deadlines are times in the standing."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from collector.presence.states import (
    OUTAGES,
    PATIENT,
    RESTARTED,
    ClockJumped,
    CollectorStarted,
    DeadlinePassed,
    Event,
    LiveBatch,
    OutageDeclared,
    OutageOver,
    Policy,
    Presence,
    Retired,
    SaidGoodbye,
    Standing,
    StreamEnded,
    Welcomed,
)


def step(standing: Standing, event: Event, at: float, *, class_: str, policy: Policy) -> Standing:
    """The host's next standing; the same one where the pair has no row in the table."""
    row = TABLE.get((standing.presence, type(event)))
    return row(standing, event, at, class_, policy) if row else standing


def serverlike(class_: str) -> bool:
    """Whether silence of this class is a ticket; a class nobody knows is treated as a server."""
    return class_ not in PATIENT


def _catching_up(_: Standing, __: Event, at: float, ___: str, policy: Policy) -> Standing:
    return Standing(Presence.CATCHING_UP, "", at, at + policy.backlog)


def _online(_: Standing, __: Event, at: float, ___: str, ____: Policy) -> Standing:
    return Standing(Presence.ONLINE, "", at)


def _still_online(standing: Standing, _: Event, __: float, ___: str, ____: Policy) -> Standing:
    return standing if standing.deadline is None else replace(standing, deadline=None)


def _silence_begins(standing: Standing, _: Event, at: float, class_: str, policy: Policy) -> Standing:
    """Nothing is concluded yet; a clock that already runs is not turned back."""
    return replace(standing, deadline=min(_due(at, class_, policy), standing.deadline or math.inf))


def _due(at: float, class_: str, policy: Policy) -> float:
    return policy.kiosk.deadline(at, policy.silence) if class_ == "kiosk" else at + policy.silence


def _away_planned(_: Standing, event: SaidGoodbye, at: float, class_: str, policy: Policy) -> Standing:
    key = (class_ if class_ in ("workstation", "laptop", "kiosk") else "server", event.reason)
    allowed = event.expected_back + policy.silence if event.expected_back > 0 else policy.planned.get(key)
    return Standing(Presence.AWAY_PLANNED, event.reason, at, None if allowed is None else at + allowed)


def _away_unexplained(standing: Standing, _: Event, at: float, class_: str, policy: Policy) -> Standing:
    if class_ == "kiosk" and not policy.kiosk.inside(at):
        return replace(standing, deadline=_due(at, class_, policy))
    overdue = standing.presence is Presence.AWAY_PLANNED
    return Standing(Presence.AWAY_UNEXPLAINED, f"not back after {standing.reason}" if overdue else "silent", at)


def _not_known(standing: Standing, __: Event, at: float, ___: str, policy: Policy) -> Standing:
    if standing.reason in OUTAGES:
        return standing  # our start does not end somebody else's outage
    return Standing(Presence.UNKNOWN, RESTARTED, at, at + policy.grace + policy.silence)


def _grace(standing: Standing, _: Event, at: float, __: str, policy: Policy) -> Standing:
    """A deadline that ran out while we could not see is moved, never judged at once."""
    if standing.deadline is None:
        return standing
    return replace(standing, deadline=max(standing.deadline, at + policy.grace + policy.silence))


def _shifted(standing: Standing, event: ClockJumped, _: float, __: str, ___: Policy) -> Standing:
    return standing if standing.deadline is None else replace(standing, deadline=standing.deadline + event.seconds)


def _outage(_: Standing, event: OutageDeclared, at: float, __: str, ___: Policy) -> Standing:
    return Standing(Presence.UNKNOWN, event.reason, at)


def _alone_again(standing: Standing, _: Event, at: float, class_: str, policy: Policy) -> Standing:
    if standing.reason not in OUTAGES:
        return standing
    return Standing(Presence.UNKNOWN, "others returned", at, _due(at, class_, policy))


def _retired(_: Standing, __: Event, at: float, ___: str, ____: Policy) -> Standing:
    return Standing(Presence.RETIRED, "", at)


Row = Callable[[Standing, Any, float, str, Policy], Standing]  # each takes the one event its key names

_HERE = (Presence.ONLINE, Presence.CATCHING_UP)
_AWAY = (Presence.AWAY_PLANNED, Presence.AWAY_UNEXPLAINED, Presence.UNKNOWN)

TABLE: Mapping[tuple[Presence, type[Event]], Row] = {
    **{(state, Welcomed): _catching_up for state in (*_HERE, *_AWAY)},
    **{(state, SaidGoodbye): _away_planned for state in (*_HERE, *_AWAY)},
    **{(state, Retired): _retired for state in (*_HERE, *_AWAY)},
    **{(state, LiveBatch): _online for state in (Presence.CATCHING_UP, *_AWAY)},
    (Presence.ONLINE, LiveBatch): _still_online,
    **{(state, StreamEnded): _silence_begins for state in _HERE},
    **{(state, CollectorStarted): _not_known for state in _HERE},
    (Presence.UNKNOWN, CollectorStarted): _not_known,
    **{(state, ClockJumped): _shifted for state in (*_HERE, Presence.AWAY_PLANNED, Presence.UNKNOWN)},
    **{(state, OutageDeclared): _outage for state in (*_HERE, Presence.UNKNOWN)},
    (Presence.UNKNOWN, OutageOver): _alone_again,
    (Presence.AWAY_PLANNED, CollectorStarted): _grace,
    **{(state, DeadlinePassed): _away_unexplained for state in (*_HERE, Presence.AWAY_PLANNED, Presence.UNKNOWN)},
}
