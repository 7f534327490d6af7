"""What each move of the uplink does: pure functions (session, event) -> (session, actions); session.py picks one.

A session that gets an answer it did not ask for ignores it; a batch is forgotten only when it is durable, refused for
good, or pushed out of the spool.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from types import MappingProxyType

from agent.events import (
    Acknowledge,
    AckReceived,
    Action,
    Connected,
    Discard,
    Disconnected,
    Entry,
    Farewell,
    GoAwayReceived,
    Goodbye,
    HeartbeatDue,
    IntervalSet,
    Lane,
    NackReceived,
    Progress,
    Reconnect,
    Refusal,
    Rest,
    Resting,
    Resumed,
    RetryDue,
    RetryLater,
    RoundTaken,
    SendBatch,
    SendGoingAway,
    SendHeartbeat,
    SendHello,
    SendSchema,
    SetHeartbeat,
    SetInterval,
    Stop,
    TimeUp,
    Wait,
    WelcomeReceived,
)

# A collector that stops acknowledging is not fed for ever: beyond this, rounds wait for the replay lane.
MAX_LIVE_UNDER_WAY = 16
GREETING_SECONDS = 20.0
DRAIN_SECONDS = 5.0
WIDEST_WINDOW = 120.0
WIDEST_TOLD_WINDOW = 3600.0
DEFAULT_RETRY_SECONDS = 5.0
SHORTEST_INTERVAL = 0.1
# A round is news for two intervals and the collector's 10 s of grace; an older one is history.
NEWS_GRACE_SECONDS = 10.0

_FINAL = {Refusal.BAD_DATA, Refusal.TOO_BIG, Refusal.TOO_MANY_SERIES}
_SLOW = {Farewell.DUPLICATE_IDENTITY, Farewell.UPGRADE_REQUIRED}
_PROGRESS = {Lane.LIVE: Progress.LIVE, Lane.REPLAY: Progress.REPLAY}
_UNDER_WAY = {Progress.LIVE, Progress.REPLAY}


class State(Enum):
    """Where the uplink stands."""

    DISCONNECTED = auto()
    GREETING = auto()  # Hello is on its way, Welcome is awaited
    LIVE = auto()
    DRAINING = auto()  # told to go; what is under way may still be acknowledged
    RESTING = auto()  # away for a while by its own word; rounds are kept
    STOPPED = auto()  # for good


@dataclass(frozen=True, slots=True)
class Session:
    """All that is known about one uplink. `entries` mirrors the spool by number, oldest first."""

    state: State = State.DISCONNECTED
    entries: Mapping[int, Entry] = field(default_factory=dict)
    schemas: frozenset[bytes] = frozenset()  # sent in this stream
    renewed: frozenset[int] = frozenset()  # batches whose schema was sent once more in this stream
    replay_credits: int = 0
    interval: float = 15.0
    max_batch_bytes: int = 0
    max_series: int = 0
    failures: int = 0  # ends of streams since the last acknowledgement
    told: Reconnect | None = None  # the window a GoAway asked for

    def under_way(self, lane: Lane) -> int:
        """How many batches are under way in one lane."""
        progress = _PROGRESS[lane]
        return sum(entry.progress is progress for entry in self.entries.values())


Step = tuple[Session, tuple[Action, ...]]


def greet(session: Session, _event: Connected) -> Step:
    """Say Hello on the new stream."""
    return replace(session, state=State.GREETING), (SendHello(), Wait(GREETING_SECONDS))


def keep(session: Session, event: RoundTaken) -> Step:
    """Remember a round that cannot be sent now."""
    return _with(session, _trimmed(session, event.first_seq) | {event.entry.seq: event.entry}), ()


def welcome(session: Session, event: WelcomeReceived) -> Step:
    """Settle what the collector has, put the rest in the queue, send the newest round if it is still news."""
    entries = {seq: _after_welcome(entry, event) for seq, entry in session.entries.items()}
    settled = tuple(s for s, e in entries.items() if _acked(e) and not _acked(session.entries[s]))
    interval = max(SHORTEST_INTERVAL, event.interval)
    session = replace(
        session,
        state=State.LIVE,
        entries=MappingProxyType(entries),
        schemas=frozenset(),
        renewed=frozenset(),
        replay_credits=event.replay_credits,
        interval=interval,
        max_batch_bytes=event.max_batch_bytes,
        max_series=event.max_series,
        told=None,
    )
    actions = (Wait(None), SetInterval(interval), SetHeartbeat(event.heartbeat), Acknowledge(settled))
    return _then(_then((session, actions), _send_news, event.at_ns), _replay)


def send_round(session: Session, event: RoundTaken) -> Step:
    """Send a new round at once, unless too many are under way already."""
    session, _ = keep(session, event)
    if session.under_way(Lane.LIVE) >= MAX_LIVE_UNDER_WAY:
        return session, ()
    return _send(session, event.entry.seq, Lane.LIVE)


def acknowledged(session: Session, event: AckReceived) -> Step:
    """Settle both lanes, then fill the replay lane again."""
    through = {Progress.LIVE: event.live_through, Progress.REPLAY: event.replay_through}
    seqs = tuple(seq for seq, entry in session.entries.items() if seq <= through.get(entry.progress, 0))
    marked = {seq: replace(session.entries[seq], progress=Progress.ACKED) for seq in seqs}
    session = replace(
        _with(session, {**session.entries, **marked}),
        replay_credits=event.replay_credits,
        failures=0 if seqs else session.failures,
    )
    return _then((session, (Acknowledge(seqs),) if seqs else ()), _replay)


def acknowledged_last(session: Session, event: AckReceived) -> Step:
    """Settle; leave once nothing is under way any more."""
    through = replace(event, replay_credits=0)
    return _then(acknowledged(session, through), _leave_when_empty)


def refused(session: Session, event: NackReceived) -> Step:
    """Send the schema again, hold the batch, or give it up, by the reason."""
    entry = session.entries.get(event.seq)
    if entry is None or entry.progress not in _UNDER_WAY:
        return session, ()
    if event.reason is Refusal.FENCED:
        return _to(session, State.DISCONNECTED, _window(session))
    if event.reason is Refusal.UNKNOWN_SCHEMA and event.seq not in session.renewed:
        return _renew(session, entry)
    if event.reason is Refusal.RETRY_AFTER or (event.reason is Refusal.QUOTA and event.retry_after > 0):
        seconds = event.retry_after or DEFAULT_RETRY_SECONDS
        return _mark(session, entry, Progress.HELD), (RetryLater(event.seq, seconds),)
    return _then(_discard(session, event.seq, event.reason), _replay)


def refused_last(session: Session, event: NackReceived) -> Step:
    """While draining nothing is sent again: only a final refusal counts, the rest waits for the next stream."""
    entry = session.entries.get(event.seq)
    if entry is None or entry.progress not in _UNDER_WAY:
        return session, ()
    step: Step = (_mark(session, entry, Progress.WAITING), ())
    if event.reason in _FINAL:
        step = _discard(session, event.seq, event.reason)
    return _then(step, _leave_when_empty)


def retry(session: Session, event: RetryDue) -> Step:
    """A held batch may go again: in the live lane if it is still the newest, else as history."""
    entry = session.entries.get(event.seq)
    if entry is None or entry.progress is not Progress.HELD:
        return session, ()
    return _again(session, entry)


def set_interval(session: Session, event: IntervalSet) -> Step:
    """Take the collector's interval."""
    interval = max(SHORTEST_INTERVAL, event.seconds)
    return replace(session, interval=interval), (SetInterval(interval),)


def beat(session: Session, _event: HeartbeatDue) -> Step:
    """Say that the agent lives."""
    return session, (SendHeartbeat(),)


def told_to_go(session: Session, event: GoAwayReceived) -> Step:
    """Stop for good if revoked; else wait a moment for what is under way, then come back in the window told."""
    if event.reason is Farewell.REVOKED:
        return replace(_requeued(session), state=State.STOPPED), (Stop(event.reason),)
    least = min(max(event.least, 0.0), WIDEST_TOLD_WINDOW)
    most = min(max(event.most, least), WIDEST_TOLD_WINDOW)
    told = Reconnect(least, most) if most > 0 else None
    if told is None and event.reason in _SLOW:
        told = Reconnect(WIDEST_WINDOW / 2, WIDEST_WINDOW)
    draining = replace(session, state=State.DRAINING, told=told)
    return _then((draining, (Wait(DRAIN_SECONDS),)), _leave_when_empty)


def lost(session: Session, _event: Disconnected | TimeUp) -> Step:
    """The stream is over: all that was under way waits again."""
    return _to(session, State.DISCONNECTED, session.told or _window(session))


def goodbye(session: Session, _event: Goodbye) -> Step:
    """Leave with a word."""
    return replace(session, state=State.STOPPED), (SendGoingAway(), Stop(None))


def leave(session: Session, _event: Goodbye) -> Step:
    """Leave without a word: nobody listens."""
    return replace(session, state=State.STOPPED), (Stop(None),)


def rest(session: Session, _event: Resting) -> Step:
    """Go away for a while with a word."""
    return replace(_requeued(session), state=State.RESTING, told=None), (SendGoingAway(), Rest())


def rest_unheard(session: Session, _event: Resting) -> Step:
    """Go away for a while; nobody listens, so the next Hello tells it."""
    return replace(_requeued(session), state=State.RESTING, told=None), (Rest(),)


def resume(session: Session, _event: Resumed) -> Step:
    """Back again: connect at once."""
    return replace(session, state=State.DISCONNECTED), (Reconnect(0.0, 0.0),)


def _then(before: Step, move: Callable[..., Step], *arguments: object) -> Step:
    session, actions = move(before[0], *arguments)
    return session, (*before[1], *actions)


def _window(session: Session) -> Reconnect:
    # Full jitter: anywhere from nothing to 1 s doubled at each failure in a row.
    return Reconnect(0.0, min(WIDEST_WINDOW, 2.0 ** min(session.failures, 10)))


def _to(session: Session, state: State, how: Reconnect) -> Step:
    after = replace(_requeued(session), state=state, failures=session.failures + 1, told=None)
    return after, (Wait(None), how)


def _leave_when_empty(session: Session) -> Step:
    if any(entry.progress in _UNDER_WAY for entry in session.entries.values()):
        return session, ()
    return _to(session, State.DISCONNECTED, session.told or _window(session))


def _requeued(session: Session) -> Session:
    entries = {
        seq: entry if _acked(entry) else replace(entry, progress=Progress.WAITING)
        for seq, entry in session.entries.items()
    }
    return replace(_with(session, entries), schemas=frozenset(), renewed=frozenset())


def _after_welcome(entry: Entry, event: WelcomeReceived) -> Entry:
    if event.rewind_from_ns is not None and entry.boottime_ns >= event.rewind_from_ns:
        return replace(entry, progress=Progress.WAITING)
    durable = _acked(entry) or entry.seq < event.resume_seq
    return replace(entry, progress=Progress.ACKED if durable else Progress.WAITING)


def _send_news(session: Session, at_ns: int) -> Step:
    newest = next(reversed(list(session.entries.values())), None)
    if newest is None or newest.progress is not Progress.WAITING:
        return session, ()
    if at_ns - newest.boottime_ns > (2 * session.interval + NEWS_GRACE_SECONDS) * 1e9:
        return session, ()
    return _send(session, newest.seq, Lane.LIVE)


def _replay(session: Session) -> Step:
    step: Step = (session, ())
    free = session.replay_credits - session.under_way(Lane.REPLAY)
    for seq, entry in session.entries.items():
        if free <= 0:
            break
        if entry.progress is Progress.WAITING:
            step = _then(step, _send, seq, Lane.REPLAY)
            free -= step[0].entries.get(seq, entry).progress is Progress.REPLAY
    return step


def _renew(session: Session, entry: Entry) -> Step:
    without = replace(session, schemas=session.schemas - {entry.schema}, renewed=session.renewed | {entry.seq})
    return _again(without, entry)


def _again(session: Session, entry: Entry) -> Step:
    # Once more in the live lane if it is still the newest; behind a newer one it is history.
    if entry.seq == max(session.entries):
        return _send(session, entry.seq, Lane.LIVE)
    return _replay(_mark(session, entry, Progress.WAITING))


def _send(session: Session, seq: int, lane: Lane) -> Step:
    entry = session.entries[seq]
    if 0 < session.max_batch_bytes < entry.size:
        return _discard(session, seq, Refusal.TOO_BIG)
    if 0 < session.max_series < entry.series:
        return _discard(session, seq, Refusal.TOO_MANY_SERIES)
    schema = () if entry.schema in session.schemas else (SendSchema(entry.schema),)
    after = replace(_mark(session, entry, _PROGRESS[lane]), schemas=session.schemas | {entry.schema})
    return after, (*schema, SendBatch(seq, lane))


def _discard(session: Session, seq: int, reason: Refusal) -> Step:
    entries = {number: entry for number, entry in session.entries.items() if number != seq}
    return _with(session, entries), (Discard(seq, reason),)


def _mark(session: Session, entry: Entry, progress: Progress) -> Session:
    return _with(session, {**session.entries, entry.seq: replace(entry, progress=progress)})


def _trimmed(session: Session, first_seq: int) -> dict[int, Entry]:
    return {seq: entry for seq, entry in session.entries.items() if seq >= first_seq}


def _with(session: Session, entries: Mapping[int, Entry]) -> Session:
    return replace(session, entries=MappingProxyType(dict(entries)))


def _acked(entry: Entry) -> bool:
    return entry.progress is Progress.ACKED
