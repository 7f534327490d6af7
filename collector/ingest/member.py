"""One host as attendance keeps it in memory, and what is written about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from collector.ingest.stamp import Identity
from collector.presence import Presence, Standing
from collector.presence.states import Event
from collector.store.hosts import Host


@dataclass(slots=True)
class Member:
    """One host: who it is, its session, where it stands, what its timeline last said. Times are the database's."""

    identity: Identity
    gen: int
    standing: Standing
    told: str
    connected: bool = False
    ours: bool = True  # False: another collector holds it and keeps its presence
    seen: float = 0.0  # its last fresh sample or Hello
    slept: float = 0.0  # seconds its boot has slept
    crashes: tuple[tuple[float, bool], ...] = ()  # of the last week: when, and whether something else told it
    days: int = 0  # working days away, as last described
    excused: bool = False  # it was silent when we could not see, and is not back yet


@dataclass(frozen=True, slots=True)
class Claim:
    """A conclusion about hosts as they are now: (host, session, standing) before, and the one event for all."""

    event: Event
    hosts: tuple[tuple[str, int, Standing], ...]


@dataclass(frozen=True, slots=True)
class Note:
    """One entry for a host's timeline."""

    host: str
    at: float
    kind: str
    detail: Mapping[str, object]
    gen: int | None = None  # the session's it is about; None: written whoever holds the host


@dataclass(slots=True)
class Due:
    """What waits to be written."""

    standings: dict[str, tuple[int, Standing]] = field(default_factory=dict)
    touched: dict[str, int] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    slept: dict[str, tuple[int, float]] = field(default_factory=dict)
    late: dict[str, tuple[str, float]] = field(default_factory=dict)  # host -> (reason, until): tickets to excuse


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from a look: hosts that are gone, and conclusions that hold once `claim` has won them."""

    gone: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()


def change(to: Standing, was: str) -> dict[str, object]:
    """The timeline's line about a new standing."""
    return {"presence": to.presence.value, "reason": to.reason, "was": was}


def standing_of(host: Host) -> Standing:
    """What the host's row says of its presence."""
    known = host.presence in {state.value for state in Presence}
    presence = Presence(host.presence) if known else Presence.UNKNOWN
    return Standing(presence, host.presence_reason, host.presence_since, host.deadline)


def member_of(row: Host, *, ours: bool) -> Member:
    """A host as its row tells it."""
    seen = row.last_seen or 0.0
    return Member(
        identity_of(row), row.session_gen, standing_of(row), row.presence, ours=ours, seen=seen, slept=row.suspended
    )


def identity_of(host: Host) -> Identity:
    """What is stamped on a host's series."""
    return Identity(host.id, host.instance, host.name, host.company, host.site, host.class_)
