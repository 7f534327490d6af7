"""The states a host's presence can have, what happens to it, and how long silence may last for each class."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from collector.presence.hours import NONE_OFF, DaysOff, Hours

SITE_OUTAGE = "site outage"
WIDE_OUTAGE = "wide outage"
OUTAGES = (SITE_OUTAGE, WIDE_OUTAGE)
RESTARTED = "collector started"
PATIENT = ("workstation", "laptop")  # may go and come as they like: their silence alone is nobody's ticket


class Presence(StrEnum):
    """Where a host stands; the values are kept in the database and are the metric's `state` label."""

    ONLINE = "online"
    AWAY_PLANNED = "away_planned"
    AWAY_UNEXPLAINED = "away_unexplained"
    UNKNOWN = "unknown"  # we cannot tell: our own start or our own trouble
    CATCHING_UP = "catching_up"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Standing:
    """One host's presence. `since` and `deadline` in Unix seconds; at the deadline silence gets its meaning."""

    presence: Presence
    reason: str = ""
    since: float = 0.0
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How long silence may last, in seconds. A class that is not named is treated as a server."""

    silence: float = 90.0  # after a stream ended without a word
    grace: float = 60.0  # after our own start or trouble, before any silence counts
    backlog: float = 900.0  # from Welcome to the first fresh sample while the stream is open
    quiet: float = 45.0  # without a sample for this long a host counts as silent where others are overdue
    together: float = 300.0  # silences that began within this belong together
    blind: float = 300.0  # our own trouble longer than this is worth a ticket
    kiosk: Hours = field(default_factory=Hours)  # when a kiosk must be there
    zone: str = "UTC"  # whose working days count
    off: DaysOff = NONE_OFF  # which are none
    # A planned absence after which the host should be back, by class and reason. No row: it may stay away.
    planned: Mapping[tuple[str, str], float] = field(
        default_factory=lambda: {
            ("server", "reboot"): 1800.0,
            ("server", "agent_upgrade"): 1800.0,
            ("server", "agent_stop"): 1800.0,
            ("kiosk", "reboot"): 1800.0,
            ("kiosk", "agent_upgrade"): 1800.0,
        }
    )


@dataclass(frozen=True, slots=True)
class Welcomed:
    """A stream was accepted; the host has not shown a fresh sample yet."""


@dataclass(frozen=True, slots=True)
class LiveBatch:
    """A sample collected after Hello arrived."""


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The stream ended, or an open one fell silent, without a goodbye."""


@dataclass(frozen=True, slots=True)
class SaidGoodbye:
    """The agent said why it goes; `expected_back` in seconds, 0 when it cannot know."""

    reason: str
    expected_back: float = 0.0


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The standing's deadline is over."""


@dataclass(frozen=True, slots=True)
class OutageDeclared:
    """Too many of its site (or of all) are silent with it: it is not this host's own trouble."""

    reason: str = SITE_OUTAGE


@dataclass(frozen=True, slots=True)
class OutageOver:
    """The others have returned; this one has not, and its silence counts from now."""


@dataclass(frozen=True, slots=True)
class ClockJumped:
    """The time that decides went by so many seconds more, or less, than passed: what was left stays left."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CollectorStarted:
    """We start, or can see again after trouble of our own."""


@dataclass(frozen=True, slots=True)
class Retired:
    """A person took the host out of service."""


Event = (
    Welcomed
    | LiveBatch
    | StreamEnded
    | SaidGoodbye
    | DeadlinePassed
    | OutageDeclared
    | OutageOver
    | ClockJumped
    | CollectorStarted
    | Retired
)
