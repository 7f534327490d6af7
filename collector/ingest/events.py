"""What happens to an agent's stream and what is done about it: plain values between session, service and engine."""

from collections.abc import Callable
from dataclasses import dataclass

from collector.ingest.columns import Columns
from czuwak.v1 import ingest_pb2 as pb


@dataclass(frozen=True, slots=True)
class Terms:
    """What the collector grants; seconds and bytes."""

    interval: float = 15.0
    heartbeat: float = 30.0
    rewind: float = 1800.0
    hello_deadline: float = 5.0
    silence: float = 120.0
    replay_credits: int = 256  # an hour of rounds: acks of a backlog wait until rules have looked at it
    max_batch_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Mark:
    """One batch's place, handed to the engine and back when its effect is committed."""

    gen: int
    epoch: str
    lane: int
    seq: int


Acked = Callable[[tuple[Mark, ...]], None]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that is taken and not acknowledged yet; `since` in Unix seconds."""

    mark: Mark
    acked: Acked
    since: float


# --- events ---


@dataclass(frozen=True, slots=True)
class Said:
    """The agent said something; `size` is the message's bytes on the wire."""

    message: pb.StreamRequest
    size: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The database gave the session its number. `spread`: seconds within which all come back should we just end."""

    gen: int
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Committed:
    """The evaluation that consumed these batches has committed."""

    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Fenced:
    """A newer stream of the same agent took over; `clone` if from other hardware."""

    clone: bool


@dataclass(frozen=True, slots=True)
class Revoked:
    """The host may not speak any more."""

    detail: str


@dataclass(frozen=True, slots=True)
class Drained:
    """We are stopping; the agent comes back within so many seconds, here or to another collector."""

    window: float = 5.0


@dataclass(frozen=True, slots=True)
class IntervalSet:
    """A new interval for rounds, seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Granted:
    """So many replay batches may come beyond those that were taken."""

    batches: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Too much comes in: this agent's batches wait, up to that time."""

    until: float
    pause_ms: int


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed."""


Event = Said | Opened | Committed | Fenced | Revoked | Drained | IntervalSet | Granted | Refused | Ticked


# --- actions ---


@dataclass(frozen=True, slots=True)
class Send:
    """Write this to the agent."""

    message: pb.StreamResponse


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Ask the database for a session number, then report Opened."""

    hello: pb.Hello


@dataclass(frozen=True, slots=True)
class Append:
    """Hand one batch to the head; `at` is Unix seconds. A duplicate carries no data, only its wish for an ack."""

    mark: Mark
    at: float
    columns: Columns | None
    presence: bytes = b""
    values: bytes = b""
    replay: bool = False
    edge: bool = False  # collected after Hello: the host is here now
    hello_at: float = 0.0  # our time of the stream's Hello
    duplicate: bool = False
    judged: float = 0.0  # up to here rules have seen the host; what is older comes once more for the memory alone
    slept: float = 0.0  # seconds the host slept since the sample before


@dataclass(frozen=True, slots=True)
class Beat:
    """The agent told of itself; `offset` is its wall clock minus ours, seconds, None where it did not say."""

    offset: float | None
    heartbeat: pb.Heartbeat | None


@dataclass(frozen=True, slots=True)
class Lost:
    """The agent has dropped so many batches of an epoch in all before they were acknowledged."""

    epoch: str
    total: int


@dataclass(frozen=True, slots=True)
class Limited:
    """The agent's schema has so many series more than are taken; 0: it is within the limits again."""

    series: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The agent says it goes away; `expected_back` in seconds, 0 unknown."""

    reason: str
    expected_back: float


@dataclass(frozen=True, slots=True)
class Counted:
    """For our own metrics and log: what became of a message."""

    result: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Close:
    """End the stream with this gRPC status name; "OK" ends it without an error."""

    code: str
    detail: str


Action = Send | OpenSession | Append | Beat | Lost | Limited | Goodbye | Counted | Close
