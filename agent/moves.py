"""What each move of the uplink does: pure functions (session, event) -> (session, actions); session.py picks one.

The session knows the few batches under way, not those that wait: it asks the spool for the next ones, oldest first,
behind a number up to which all were handed out. So an event costs the same whatever the backlog. An answer nobody asked
for is ignored; a batch is forgotten only when it is durable, refused for good, or gone from the spool.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from agent.events import (
    Acknowledge,
    AcknowledgeBelow,
    AckReceived,
    Action,
    Connected,
    Discard,
    Disconnected,
    Entry,
    Farewell,
    Fetch,
    Found,
    GoAwayReceived,
    Gone,
    Goodbye,
    HeartbeatDue,
    IntervalSet,
    Lane,
    NackReceived,
    Progress,
    Reconnect,
    Recovered,
    Refusal,
    Rest,
    Resting,
    Resumed,
    RetryDue,
    RetryLater,
    Rewind,
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
    Unheard,
    Wait,
    WelcomeReceived,
)

# A collector that stops acknowledging is not fed for ever: beyond this, rounds wait for the replay lane.
MAX_LIVE_UNDER_WAY = 16
GREETING_SECONDS = 20.0
DRAIN_SECONDS = 5.0
GOODBYE_SECONDS = 1.0
WIDEST_WINDOW = 120.0
WIDEST_TOLD_WINDOW = 3600.0
DEFAULT_RETRY_SECONDS = 5.0
SHORTEST_INTERVAL = 0.1
# A round is news for two intervals and the collector's 10 s of grace; an older one is history.
NEWS_GRACE_SECONDS = 10.0
BEFORE_ALL = -(2**62)

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
    CALLING = auto()  # still away: Hello is on its way, only to say the goodbye that nobody heard
    LEAVING = auto()  # about to stop: one more Hello, only to say the goodbye
    STOPPED = auto()  # for good


@dataclass(frozen=True, slots=True)
class Session:
    """All that is known about one uplink. `window`: the batches that are under way or owed an answer, by number."""

    state: State = State.DISCONNECTED
    window: Mapping[int, Entry] = field(default_factory=dict)
    progress: Mapping[int, Progress] = field(default_factory=dict)  # of the window
    newest: Entry | None = None  # the last round, until it is refused
    settled: bool = False  # the last round is durable
    cursor: int = BEFORE_ALL  # everything up to here was handed out in this stream
    dry: bool = False  # nothing waits behind the cursor
    rewind: Rewind | None = None  # what of the acknowledged the collector has yet to get again
    schemas: frozenset[bytes] = frozenset()  # sent in this stream
    renewed: frozenset[int] = frozenset()  # batches whose schema was sent once more in this stream
    replay_credits: int = 0
    interval: float = 15.0
    max_batch_bytes: int = 0
    max_series: int = 0
    spread: float = 0.0
    failures: int = 0  # ends of streams since the last acknowledgement
    told: Reconnect | None = None  # the window a GoAway asked for
    owed: bool = False  # resting, and nobody has heard the goodbye

    def under_way(self, lane: Lane) -> int:
        """How many batches are under way in one lane."""
        progress = _PROGRESS[lane]
        return sum(each is progress for each in self.progress.values())


Step = tuple[Session, tuple[Action, ...]]


def greet(session: Session, _event: Connected) -> Step:
    """Say Hello on the new stream."""
    return replace(session, state=State.GREETING), (SendHello(), Wait(GREETING_SECONDS))


def keep(session: Session, event: RoundTaken) -> Step:
    """Remember a round that cannot be sent now: it waits in the spool."""
    return replace(session, newest=event.entry, settled=False, dry=False), ()


def welcome(session: Session, event: WelcomeReceived) -> Step:
    """Settle what the collector has, send the newest round if it is still news, ask for the rest."""
    interval = max(SHORTEST_INTERVAL, event.interval)
    newest = session.newest
    session = replace(
        session,
        state=State.LIVE,
        settled=session.settled or (newest is not None and newest.seq < event.resume_seq),
        cursor=BEFORE_ALL,
        dry=False,
        rewind=_rewind(session, event),
        schemas=frozenset(),
        renewed=frozenset(),
        replay_credits=event.replay_credits,
        interval=interval,
        max_batch_bytes=event.max_batch_bytes,
        max_series=event.max_series,
        spread=event.spread,
        told=None,
    )
    actions = (Wait(None), SetInterval(interval), SetHeartbeat(event.heartbeat), AcknowledgeBelow(event.resume_seq))
    return _then(_then((session, actions), _send_news, event.at_ns), _replay)


def send_round(session: Session, event: RoundTaken) -> Step:
    """Send a new round at once, unless too many are under way already."""
    if session.under_way(Lane.LIVE) >= MAX_LIVE_UNDER_WAY:
        return _then(keep(session, event), _replay)
    return _send(replace(session, newest=event.entry, settled=False), event.entry, Lane.LIVE)


def hand_out(session: Session, event: Found) -> Step:
    """Send what the spool found, as far as it is not under way already; ask on while there is room."""
    free = session.replay_credits - session.under_way(Lane.REPLAY)
    cursor = max([session.cursor, *(entry.number for entry in event.entries)])
    step: Step = (replace(session, cursor=cursor, dry=len(event.entries) < free), ())
    for entry in event.entries:
        if entry.number not in step[0].window:
            step = _then(step, _send, entry, Lane.REPLAY)
    return _then(step, _replay)


def gone(session: Session, event: Gone) -> Step:
    """It is lost, the spool has counted it: its place is free."""
    return _then((_without(session, (event.number,)), ()), _replay)


def begin_again(session: Session, _event: Recovered) -> Step:
    """Older batches have come back. History goes in order within one stream, so it takes another one."""
    return _to(session, State.DISCONNECTED, _window(session))


def acknowledged(session: Session, event: AckReceived) -> Step:
    """Settle both lanes, then fill the replay lane again."""
    through = {Progress.LIVE: event.live_through, Progress.REPLAY: event.replay_through}
    numbers = tuple(
        number
        for number, entry in session.window.items()
        if entry.epoch == event.epoch and entry.seq <= through.get(session.progress[number], 0)
    )
    durable = session.newest is not None and session.newest.number in numbers
    session = replace(
        _without(session, numbers),
        settled=session.settled or durable,
        replay_credits=event.replay_credits,
        failures=0 if numbers else session.failures,
    )
    return _then((session, (Acknowledge(numbers),) if numbers else ()), _replay)


def acknowledged_last(session: Session, event: AckReceived) -> Step:
    """Settle; leave once nothing is under way any more."""
    through = replace(event, replay_credits=0)
    return _then(acknowledged(session, through), _leave_when_empty)


def refused(session: Session, event: NackReceived) -> Step:
    """Send the schema again, hold the batch, or give it up, by the reason."""
    entry = _under_way(session, event)
    if entry is None:
        return session, ()
    if event.reason is Refusal.FENCED:
        return _to(session, State.DISCONNECTED, _window(session))
    if event.reason is Refusal.UNKNOWN_SCHEMA and entry.number not in session.renewed:
        return _renew(session, entry)
    if event.reason is Refusal.RETRY_AFTER or (event.reason is Refusal.QUOTA and event.retry_after > 0):
        seconds = event.retry_after or DEFAULT_RETRY_SECONDS
        return _mark(session, entry, Progress.HELD), (RetryLater(entry.number, seconds),)
    return _then(_discard(session, entry, event.reason), _replay)


def refused_last(session: Session, event: NackReceived) -> Step:
    """While draining nothing is sent again: only a final refusal counts, the rest waits for the next stream."""
    entry = _under_way(session, event)
    if entry is None:
        return session, ()
    step: Step = (_without(session, (entry.number,)), ())
    if event.reason in _FINAL:
        step = _discard(session, entry, event.reason)
    return _then(step, _leave_when_empty)


def retry(session: Session, event: RetryDue) -> Step:
    """A held batch may go again: in the live lane if it is still the newest, else as history."""
    if session.progress.get(event.number) is not Progress.HELD:
        return session, ()
    return _again(session, session.window[event.number])


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
        return _stop(session, event)
    draining = replace(session, state=State.DRAINING, told=_told_window(event))
    return _then((draining, (Wait(DRAIN_SECONDS),)), _leave_when_empty)


def lost(session: Session, _event: Disconnected | TimeUp) -> Step:
    """The stream is over: all that was under way waits again."""
    return _to(session, State.DISCONNECTED, session.told or _window(session))


def goodbye(session: Session, _event: Goodbye | WelcomeReceived) -> Step:
    """Leave with a word."""
    return replace(session, state=State.STOPPED), (SendGoingAway(), Stop(None))


def leave(session: Session, _event: Goodbye | GoAwayReceived | Disconnected | TimeUp) -> Step:
    """Leave without a word: nobody listens."""
    return replace(session, state=State.STOPPED), (Stop(None),)


def last_call(session: Session, _event: Goodbye) -> Step:
    """Call once more at once: a collector that has just started listens, though the next try was to be later."""
    return replace(session, state=State.LEAVING), (Reconnect(0.0, 0.0), Wait(GOODBYE_SECONDS))


def leave_rest(session: Session, event: Goodbye) -> Step:
    """Leave a rest: without a word if its goodbye was heard, and else it is called once more."""
    return last_call(session, event) if session.owed else leave(session, event)


def last_hello(session: Session, _event: Connected) -> Step:
    """Say Hello on the new stream, to say the goodbye; its time runs already."""
    return session, (SendHello(),)


def last_wait(session: Session, _event: Goodbye) -> Step:
    """Hello is on its way: the goodbye follows the Welcome, if that comes soon."""
    return replace(session, state=State.LEAVING), (Wait(GOODBYE_SECONDS),)


def rest(session: Session, _event: Resting) -> Step:
    """Go away for a while with a word."""
    return _resting(session), (SendGoingAway(), Rest())


def rest_unheard(session: Session, _event: Resting) -> Step:
    """Go away for a while; nobody listens yet."""
    return _resting(session), (Rest(),)


def call_later(session: Session, _event: Unheard | Disconnected | TimeUp) -> Step:
    """Nobody has heard the goodbye: somebody may listen later, or the absence is taken for an outage until its end."""
    return _to(replace(session, owed=True), State.RESTING, _window(session))


def call(session: Session, _event: Connected) -> Step:
    """Say Hello on the new stream, to say the goodbye."""
    return replace(session, state=State.CALLING), (SendHello(), Wait(GREETING_SECONDS))


def tell(session: Session, _event: WelcomeReceived) -> Step:
    """Say goodbye and nothing else."""
    return _resting(session), (Wait(None), SendGoingAway(), Rest())


def put_off(session: Session, event: GoAwayReceived) -> Step:
    """Stop for good if revoked; else call again in the window told."""
    if event.reason is Farewell.REVOKED:
        return _stop(session, event)
    return _to(session, State.RESTING, _told_window(event) or _window(session))


def resume(session: Session, _event: Resumed) -> Step:
    """Back again: connect at once."""
    return replace(session, state=State.DISCONNECTED, failures=0, owed=False), (Reconnect(0.0, 0.0),)


def _then(before: Step, move: Callable[..., Step], *arguments: object) -> Step:
    session, actions = move(before[0], *arguments)
    return session, (*before[1], *actions)


def _window(session: Session) -> Reconnect:
    # Full jitter: anywhere from nothing to 1 s doubled at each failure in a row. Who fails to come back at once had a
    # collector that is gone: with all its agents it takes the time that it said it would.
    widest = 2.0 ** min(session.failures, 10)
    return Reconnect(0.0, min(WIDEST_WINDOW, max(widest, session.spread) if session.failures else widest))


def _told_window(event: GoAwayReceived) -> Reconnect | None:
    least = min(max(event.least, 0.0), WIDEST_TOLD_WINDOW)
    most = min(max(event.most, least), WIDEST_TOLD_WINDOW)
    if most > 0:
        return Reconnect(least, most)
    return Reconnect(WIDEST_WINDOW / 2, WIDEST_WINDOW) if event.reason in _SLOW else None


def _stop(session: Session, event: GoAwayReceived) -> Step:
    return replace(_requeued(session), state=State.STOPPED), (Stop(event.reason),)


def _resting(session: Session) -> Session:
    return replace(_requeued(session), state=State.RESTING, told=None, owed=False)


def _to(session: Session, state: State, how: Reconnect) -> Step:
    after = replace(_requeued(session), state=state, failures=session.failures + 1, told=None)
    return after, (Wait(None), how)


def _leave_when_empty(session: Session) -> Step:
    if any(each in _UNDER_WAY for each in session.progress.values()):
        return session, ()
    return _to(session, State.DISCONNECTED, session.told or _window(session))


def _requeued(session: Session) -> Session:
    """Nothing is under way any more: it all waits in the spool. What a rewind still owed stays owed."""
    rewind = session.rewind
    if rewind is not None:
        owed = [number for number, progress in session.progress.items() if progress is not Progress.LIVE]
        above = min([session.cursor, *(number - 1 for number in owed)])
        rewind = replace(rewind, above=max(rewind.above, above))
    return replace(
        session,
        window={},
        progress={},
        cursor=BEFORE_ALL,
        dry=False,
        rewind=rewind,
        schemas=frozenset(),
        renewed=frozenset(),
    )


def _rewind(session: Session, event: WelcomeReceived) -> Rewind | None:
    if event.rewind_from_ns is None:
        return session.rewind
    below = BEFORE_ALL if session.newest is None else session.newest.number + 1
    return Rewind(event.rewind_from_ns, BEFORE_ALL, below)


def _send_news(session: Session, at_ns: int) -> Step:
    newest, rewind = session.newest, session.rewind
    if newest is None or at_ns - newest.boottime_ns > (2 * session.interval + NEWS_GRACE_SECONDS) * 1e9:
        return session, ()
    if session.settled and (rewind is None or not rewind.wants(newest.number, newest.boottime_ns)):
        return session, ()
    if rewind is not None:
        session = replace(session, rewind=replace(rewind, below=min(rewind.below, newest.number)))
    return _send(session, newest, Lane.LIVE)


def _replay(session: Session) -> Step:
    """Fill the replay lane: first what is to be sent once more, then what the spool finds."""
    step: Step = (session, ())
    free = session.replay_credits - session.under_way(Lane.REPLAY)
    again = sorted(number for number, each in session.progress.items() if each is Progress.AGAIN)
    for number in again[: max(free, 0)]:
        step = _then(step, _send, session.window[number], Lane.REPLAY)
    session = step[0]
    free = session.replay_credits - session.under_way(Lane.REPLAY)
    if free <= 0:
        return step
    if session.dry:
        owed = any(each is not Progress.LIVE for each in session.progress.values())
        return (session if owed else replace(session, rewind=None)), step[1]
    return session, (*step[1], Fetch(session.cursor, free, session.rewind))


def _renew(session: Session, entry: Entry) -> Step:
    without = replace(session, schemas=session.schemas - {entry.schema}, renewed=session.renewed | {entry.number})
    return _again(without, entry)


def _again(session: Session, entry: Entry) -> Step:
    # Once more in the live lane if it is still the newest; behind a newer one it is history.
    if session.newest is not None and entry.number == session.newest.number:
        return _send(session, entry, Lane.LIVE)
    if entry.number <= session.cursor:
        return _replay(_mark(session, entry, Progress.AGAIN))
    # History goes in order, for an ack says "up to": the spool hands it out when its turn comes.
    rewind = session.rewind
    if rewind is not None:
        rewind = replace(rewind, below=max(rewind.below, entry.number + 1))
    return _replay(replace(_without(session, (entry.number,)), dry=False, rewind=rewind))


def _send(session: Session, entry: Entry, lane: Lane) -> Step:
    if 0 < session.max_batch_bytes < entry.size:
        return _discard(session, entry, Refusal.TOO_BIG)
    if 0 < session.max_series < entry.series:
        return _discard(session, entry, Refusal.TOO_MANY_SERIES)
    schema = () if entry.schema in session.schemas else (SendSchema(entry.schema),)
    after = replace(_mark(session, entry, _PROGRESS[lane]), schemas=session.schemas | {entry.schema})
    return after, (*schema, SendBatch(entry.number, lane))


def _discard(session: Session, entry: Entry, reason: Refusal) -> Step:
    newest = session.newest
    if newest is not None and newest.number == entry.number:
        newest = None
    return replace(_without(session, (entry.number,)), newest=newest), (Discard(entry.number, reason),)


def _under_way(session: Session, event: NackReceived) -> Entry | None:
    for number, entry in session.window.items():
        if (entry.epoch, entry.seq) == (event.epoch, event.seq) and session.progress[number] in _UNDER_WAY:
            return entry
    return None


def _mark(session: Session, entry: Entry, progress: Progress) -> Session:
    window = {**session.window, entry.number: entry}
    return replace(session, window=window, progress={**session.progress, entry.number: progress})


def _without(session: Session, numbers: Sequence[int]) -> Session:
    if not numbers:
        return session
    gone = set(numbers)
    window = {number: entry for number, entry in session.window.items() if number not in gone}
    return replace(session, window=window, progress={n: p for n, p in session.progress.items() if n not in gone})
