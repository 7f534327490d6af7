"""What the uplink's session is told (events) and what it wants done (actions): values, nothing else.

Batches are known by number only; their bytes live in the spool, which is asked for what waits. Delays are in seconds.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class Lane(Enum):
    """How a batch travels: the newest round at once, the past as the collector allows."""

    LIVE = auto()
    REPLAY = auto()


class Progress(Enum):
    """Where one batch of the window stands."""

    LIVE = auto()  # under way in this lane
    REPLAY = auto()
    HELD = auto()  # the collector asked to have it later
    AGAIN = auto()  # to be sent once more as soon as the replay lane has room


class Refusal(StrEnum):
    """Why a batch was not taken; the values are label values of a metric."""

    BAD_DATA = "bad_data"
    TOO_BIG = "too_big"
    UNKNOWN_SCHEMA = "unknown_schema"
    QUOTA = "quota"
    FENCED = "fenced"
    RETRY_AFTER = "retry_after"
    TOO_MANY_SERIES = "too_many_series"


class Farewell(StrEnum):
    """Why the collector sends the agent away."""

    DRAIN = "drain"
    MOVED = "moved"
    UPGRADE_REQUIRED = "upgrade_required"
    REVOKED = "revoked"
    DUPLICATE_IDENTITY = "duplicate_identity"


@dataclass(frozen=True, slots=True)
class Entry:
    """One batch: its number here, its place on the wire, its clock, its schema's hash and series, its encoded size."""

    number: int
    epoch: str
    seq: int
    boottime_ns: int
    schema: bytes
    series: int
    size: int


@dataclass(frozen=True, slots=True)
class Rewind:
    """What is sent again though it was acknowledged: numbers between the two, taken at `since_ns` or later."""

    since_ns: int
    above: int
    below: int

    def wants(self, number: int, boottime_ns: int) -> bool:
        """Whether this acknowledged batch is sent again."""
        return self.above < number < self.below and boottime_ns >= self.since_ns


# --- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connected:
    """A stream was opened."""


@dataclass(frozen=True, slots=True)
class WelcomeReceived:
    """The collector took the Hello. `at_ns` is the agent's boottime now; `rewind_from_ns` None means no rewind."""

    at_ns: int
    resume_seq: int = 0
    rewind_from_ns: int | None = None
    interval: float = 15.0
    heartbeat: float = 30.0
    replay_credits: int = 1
    max_batch_bytes: int = 0
    max_series: int = 0
    spread: float = 0.0  # seconds within which everybody may reconnect when the collector is gone


@dataclass(frozen=True, slots=True)
class RoundTaken:
    """A batch was put into the spool."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class AckReceived:
    """All batches of an epoch in a lane up to its number are durable."""

    epoch: str
    live_through: int
    replay_through: int
    replay_credits: int


@dataclass(frozen=True, slots=True)
class NackReceived:
    """One batch was refused."""

    epoch: str
    seq: int
    reason: Refusal
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class IntervalSet:
    """The collector wants another interval."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GoAwayReceived:
    """The collector ends the stream and names the window to come back in; 0, 0 leaves it to the agent."""

    reason: Farewell
    least: float = 0.0
    most: float = 0.0


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The stream ended or could not be opened."""


@dataclass(frozen=True, slots=True)
class HeartbeatDue:
    """The heartbeat's time has come."""


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The time the collector asked to wait for one batch is over."""

    number: int


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a Fetch: what waits, oldest first, at most as many as were asked for."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Gone:
    """A batch that was to be sent is no longer in the spool."""

    number: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """The spool's disk is back: it holds older batches than were to be seen."""


@dataclass(frozen=True, slots=True)
class TimeUp:
    """The patience of the last Wait is over."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The agent is about to stop."""


@dataclass(frozen=True, slots=True)
class Resting:
    """The agent goes away for a while without stopping: the machine sleeps, or somebody asked for a pause."""


@dataclass(frozen=True, slots=True)
class Unheard:
    """A rest has begun, and nobody heard the goodbye though it is worth to be told."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The rest is over."""


Event = (
    Connected
    | WelcomeReceived
    | RoundTaken
    | AckReceived
    | NackReceived
    | IntervalSet
    | GoAwayReceived
    | Disconnected
    | HeartbeatDue
    | RetryDue
    | Found
    | Gone
    | Recovered
    | TimeUp
    | Goodbye
    | Resting
    | Unheard
    | Resumed
)

# --- actions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendHello:
    """Say Hello, with the spool's range and the last absence."""


@dataclass(frozen=True, slots=True)
class SendSchema:
    """Send the schema with this hash."""

    schema: bytes


@dataclass(frozen=True, slots=True)
class SendBatch:
    """Send one batch in this lane."""

    number: int
    lane: Lane


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """Say that the agent lives and how full its spool is."""


@dataclass(frozen=True, slots=True)
class SendGoingAway:
    """Say that the agent leaves."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Close what is open and connect again after a random time between `least` and `most`."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """These batches are durable at the collector."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AcknowledgeBelow:
    """All batches of our epoch with a lower `seq` are durable at the collector, or lost."""

    seq: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Tell Found with the oldest batches that wait behind this number; a rewind adds acknowledged ones."""

    after: int
    count: int
    rewind: Rewind | None


@dataclass(frozen=True, slots=True)
class Discard:
    """This batch will never be taken: count it and forget it."""

    number: int
    reason: Refusal


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Tell RetryDue after this time."""

    number: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Tell TimeUp after this time, instead of whatever was waited for before; None: no longer wait."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class SetInterval:
    """Take rounds this often."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SetHeartbeat:
    """Tell HeartbeatDue this often."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Rest:
    """End the stream and let no time pass until Resumed is told; or tell Unheard."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the stream and connect no more; `reason` None when the agent itself wished so."""

    reason: Farewell | None


Action = (
    SendHello
    | SendSchema
    | SendBatch
    | SendHeartbeat
    | SendGoingAway
    | Reconnect
    | Acknowledge
    | AcknowledgeBelow
    | Fetch
    | Discard
    | RetryLater
    | Wait
    | SetInterval
    | SetHeartbeat
    | Rest
    | Stop
)
