"""One agent's stream as a table: (phase, event) -> (session, actions). No socket, no clock, no database, no log.

The service feeds it what the agent said and what the engine committed, and carries out the actions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from collector.ingest.answers import ack, go_away, nack
from collector.ingest.checks import bad, check_values, of_earlier_boot, time_of, wrong_hello
from collector.ingest.columns import Columns, columns_of
from collector.ingest.errors import PayloadError
from collector.ingest.events import (
    Action,
    Append,
    Beat,
    Close,
    Committed,
    Counted,
    Drained,
    Event,
    Fenced,
    Goodbye,
    Granted,
    IntervalSet,
    Limited,
    Lost,
    Mark,
    Opened,
    OpenSession,
    Refused,
    Revoked,
    Said,
    Send,
    Terms,
)
from collector.ingest.ledger import MAX_AHEAD, MAX_SPANS, Ledger
from collector.ingest.packing import unpacked
from collector.ingest.stamp import MAX_SERIES, Identity, check, known_columns
from collector.replacing import replacing
from czuwak.v1 import ingest_pb2 as pb

PROTOCOL = 1
# Fields beyond the core that every agent and collector of protocol 1 speaks: whoever does not know one passes it over,
# and nothing is missed where an agent does not fill it. A packed schema is sent to who names it alone.
FEATURES = ("lost_before", "earlier_boot", "suspended", "packed_schema")
MAX_SCHEMAS = 4
MAX_OWED = 1024
MAX_LIVE = 64  # live batches of one agent between two commits: an agent that keeps its interval has one
MAX_DRIFT_SECONDS = 1.0
_NS = 1_000_000_000
_K = TypeVar("_K")
_V = TypeVar("_V")


class Phase(StrEnum):
    """Where a stream stands."""

    HELLO = "hello"  # waits for the agent's Hello
    OPENING = "opening"  # waits for the database to give a session number
    LIVE = "live"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Session:
    """The whole state of one stream; made with `begin`."""

    identity: Identity
    terms: Terms
    heard_at: float
    phase: Phase = Phase.HELLO
    ledger: Ledger = field(default_factory=Ledger)
    fresh: bool = True  # we remember nothing of this agent: ask for a rewind
    hello: pb.Hello = field(default_factory=pb.Hello)
    hello_at: float = 0.0
    gen: int = 0
    anchor: float = 0.0  # our time minus the agent's boottime, seconds
    offset: float = 0.0  # the agent's wall clock at Hello minus ours, seconds
    judged: float = 0.0  # as in Append; before Welcome, when the database last saw the host
    suspended: tuple[str, int] = ("", 0)  # boot, and nanoseconds it had slept at the newest live sample
    lost: int = 0  # what the agent said it dropped of its epoch
    newest: float = 0.0  # time of the newest live sample
    schemas: Mapping[bytes, Columns] = field(default_factory=dict)
    refused: Mapping[bytes, pb.NackReason.ValueType] = field(default_factory=dict)
    through: Mapping[tuple[str, int], int] = field(default_factory=dict)
    owed: frozenset[tuple[str, int]] = frozenset()  # refused once and not yet durable: acks stop below them
    replaying: int = 0
    living: int = 0  # live batches that wait for a commit
    ahead: int | None = None  # replay batches it may send beyond those that are taken; None: as the terms say
    refusing: Refused | None = None
    limited: int = 0  # series over the limit, as told last

    @property
    def granted(self) -> int:
        """Replay batches that may be under way."""
        return self.terms.replay_credits if self.ahead is None else self.replaying + self.ahead

    @property
    def patience(self) -> float:
        """Seconds of silence that end the stream."""
        return self.terms.silence if self.phase is Phase.LIVE else self.terms.hello_deadline


Step = tuple[Session, tuple[Action, ...]]
replace, replace_terms = replacing(Session), replacing(Terms)


def begin(identity: Identity, terms: Terms, at: float, previous: Session | None = None) -> Session:
    """A new stream's session; `previous` is what was known of the same agent."""
    session = Session(identity, terms, at)
    return session if previous is None else inherit(session, previous)


def known(session: Session, seen_at: float, boot_id: str, suspended: float) -> Session:
    """The session with what the database knows of its host: when it was last seen, how long that boot had slept."""
    return replace(session, judged=seen_at, suspended=(boot_id, int(suspended * _NS)))


def inherit(session: Session, previous: Session) -> Session:
    """The session with the books of an older stream of the same agent, and its schemas if it is still who it was."""
    schemas = previous.schemas if previous.identity == session.identity else {}
    books = replace(session, ledger=previous.ledger, fresh=previous.fresh, schemas=schemas)
    return replace(books, suspended=previous.suspended) if previous.suspended[0] else books


def step(session: Session, event: Event, at: float) -> Step:
    """What an event does, `at` in Unix seconds. What has no row in the table does nothing."""
    name = event.message.WhichOneof("message") if isinstance(event, Said) else type(event).__name__
    row = TABLE.get((session.phase, name or ""))  # a message from a newer protocol has no name here
    if isinstance(event, Said) and row is not _batch:  # that one notes it itself: once for all that changes
        session = replace(session, heard_at=at)
    return row(session, event, at) if row else (session, ())


def _hello(session: Session, event: Said, at: float) -> Step:
    hello = event.message.hello
    wrong = wrong_hello(hello)
    if wrong:
        return _close(session, "INVALID_ARGUMENT", wrong)
    if not hello.protocol_min <= PROTOCOL <= hello.protocol_max:
        detail = f"This collector speaks protocol {PROTOCOL}; the agent {hello.protocol_min} to {hello.protocol_max}."
        closed, actions = _close(session, "FAILED_PRECONDITION", detail)
        return closed, (go_away(pb.GO_AWAY_REASON_UPGRADE_REQUIRED, detail), *actions)
    anchor = at - hello.boottime_ns / _NS
    offset = hello.wall_ns / _NS - at
    opening = replace(session, phase=Phase.OPENING, hello=hello, hello_at=at, anchor=anchor, offset=offset)
    return opening, (OpenSession(hello),)


def _opened(session: Session, event: Opened, at: float) -> Step:
    hello = session.hello
    ledger = session.ledger.open(hello.epoch, hello.first_seq)
    resume = ledger.page(hello.epoch).durable.first_missing(hello.first_seq)
    rewind = max(1, hello.boottime_ns - int(session.terms.rewind * _NS)) if session.fresh else 0
    welcome = pb.Welcome(
        protocol=PROTOCOL,
        session_gen=event.gen,
        server_wall_ns=int(at * _NS),
        resume_seq=resume,
        rewind_from_boottime_ns=rewind,
        interval_seconds=session.terms.interval,
        heartbeat_seconds=session.terms.heartbeat,
        replay_credits=session.granted,
        max_batch_bytes=session.terms.max_batch_bytes,
        max_series=MAX_SERIES,
        features=FEATURES,
        reconnect_max_ms=int(event.spread * 1000),
    )
    judged = session.judged if session.fresh else 0.0  # with our own books nothing comes twice
    live = replace(session, phase=Phase.LIVE, gen=event.gen, ledger=ledger, fresh=False, judged=judged)
    live, losses = _told_lost(live, hello.dropped_total)
    return live, (Send(pb.StreamResponse(welcome=welcome)), Beat(session.offset, None), *losses)


def _told_lost(session: Session, total: int) -> Step:
    """The agent's own count of what it dropped of this epoch only grows; the database makes each one count once."""
    if total <= session.lost or total >= 2**63:
        return session, ()
    return replace(session, lost=total), (Lost(session.hello.epoch, total),)


def _schema(session: Session, event: Said, _: float) -> Step:
    schema = event.message.schema
    if schema.hash in session.schemas and schema.hash not in session.refused:
        return session, ()
    try:
        schema = unpacked(schema)
        words = check(schema)
    except PayloadError as error:
        return _refuse_schema(session, schema, error)
    known, told = _told_limited(session, 0)
    return _learn(known, schema.hash, columns_of(schema, session.identity, words=words)), told


def _told_limited(session: Session, series: int) -> Step:
    return (session, ()) if series == session.limited else (replace(session, limited=series), (Limited(series),))


def _refuse_schema(session: Session, schema: pb.Schema, error: PayloadError) -> Step:
    """The new schema is refused as a whole; those of its series that were accepted earlier keep flowing."""
    refusal = nack("", 0, error.reason, error.detail)
    refused = _bounded({**session.refused, schema.hash[:64]: error.reason})
    session = replace(session, refused=refused)
    accepted = next(reversed(list(session.schemas.values())), None)
    keep = known_columns(schema, session.identity, accepted.series()) if accepted else {}
    over = max(1, len(schema.series) - len(keep)) if error.reason == pb.NACK_REASON_QUOTA else session.limited
    session, told = _told_limited(session, over)
    actions = (refusal, Counted("schema_refused", error.detail), *told)
    if not keep:
        return session, actions
    columns = columns_of(schema, session.identity, tuple(keep))
    return _learn(session, schema.hash, columns), actions


def _learn(session: Session, schema: bytes, columns: Columns) -> Session:
    older = {h: c for h, c in session.schemas.items() if h != schema}
    return replace(session, schemas=_bounded({**older, schema: columns}))


def _batch(session: Session, event: Said, at: float) -> Step:
    judged, actions = _judge_batch(session, event, at)
    return judged if judged.heard_at == at else replace(judged, heard_at=at), actions


def _judge_batch(session: Session, event: Said, at: float) -> Step:
    batch = event.message.batch
    try:
        session = _placed(session, batch, event.size)
    except PayloadError as error:
        return session, (nack(batch.epoch, batch.seq, error.reason, error.detail), Counted("bad", error.detail))
    mark, replay = Mark(session.gen, batch.epoch, batch.lane, batch.seq), batch.lane == pb.LANE_REPLAY
    seen = batch.seq in session.ledger.page(batch.epoch).seen
    crowded = _crowded(session, at, replay=replay, seen=seen)
    if crowded:
        return _later(session, batch, pb.NACK_REASON_RETRY_AFTER, *crowded)
    if seen:
        ahead, replaying, living = _ahead(session, replay), session.replaying + replay, session.living + (not replay)
        waiting = replace(session, ahead=ahead, replaying=replaying, living=living)
        return waiting, (Append(mark, at, None, replay=replay, duplicate=True), Counted("duplicate"))
    if batch.schema_hash not in session.schemas and batch.schema_hash not in session.refused:
        return _later(session, batch, pb.NACK_REASON_UNKNOWN_SCHEMA, "Send the schema, then the batch again.")
    return _accept(session, batch, mark, at)


def _crowded(session: Session, at: float, *, replay: bool, seen: bool) -> tuple[str, int] | None:
    """Why the batch has to wait, and for how many milliseconds."""
    if not replay and session.living >= MAX_LIVE:
        return "More live batches than an interval has.", 1000
    if seen:
        return None
    if session.refusing is not None and at < session.refusing.until:
        return "Too much comes in.", session.refusing.pause_ms
    if replay and session.replaying >= 2 * session.terms.replay_credits:
        return "More replay batches than credits.", 1000
    return None


def _accept(session: Session, batch: pb.Batch, mark: Mark, at: float) -> Step:
    try:
        columns = _columns(session, batch)
        taken = time_of(batch, session.hello, session.anchor, session.offset, at)
    except PayloadError as error:
        return _final(session, batch, error)
    replay = batch.lane == pb.LANE_REPLAY
    edge = not replay and batch.boottime_ns >= session.hello.boottime_ns and not of_earlier_boot(batch, session.hello)
    slept = _slept(session, batch) if edge else 0.0
    accepted = replace(
        session,
        heard_at=at,
        ledger=session.ledger.see(batch.epoch, batch.seq),
        newest=max(session.newest, taken) if edge else session.newest,
        replaying=session.replaying + replay,
        living=session.living + (not replay),
        ahead=_ahead(session, replay),
        suspended=(session.hello.boot_id, batch.suspended_ns) if edge and batch.suspended_ns else session.suspended,
    )
    append = Append(
        mark,
        taken,
        columns,
        batch.presence,
        batch.values,
        replay=replay,
        edge=edge,
        hello_at=session.hello_at,
        judged=session.judged,
        slept=slept,
    )
    return accepted, (append, Counted("replayed" if replay else "live"))


def _ahead(session: Session, replay: bool) -> int | None:
    return session.ahead if session.ahead is None or not replay else max(0, session.ahead - 1)


def _placed(session: Session, batch: pb.Batch, size: int) -> Session:
    """The session once the batch's place is known to be right and the gap before it is closed. Raises PayloadError."""
    if not batch.epoch or len(batch.epoch) > 64 or batch.seq == 0 or batch.lane == pb.LANE_UNSPECIFIED:
        raise bad("The batch has no epoch, number or lane.")
    page = session.ledger.page(batch.epoch)
    # How far an epoch went that the agent has left nobody here may know, and each kill costs it many numbers.
    ours = batch.epoch == session.hello.epoch
    if ours and batch.seq > max(page.seen.highest, session.hello.next_seq) + MAX_AHEAD:
        raise bad(f"The number is more than {MAX_AHEAD} ahead.")
    low = batch.seq - min(batch.lost_before, batch.seq)
    if len(page.seen.add(low, batch.seq).spans) > MAX_SPANS:
        raise PayloadError(pb.NACK_REASON_QUOTA, f"The numbers have more than {MAX_SPANS} gaps.")
    if size > session.terms.max_batch_bytes:
        raise PayloadError(pb.NACK_REASON_TOO_BIG, f"{size} bytes; {session.terms.max_batch_bytes} are the limit.")
    if not batch.lost_before:
        return session
    owed = frozenset(key for key in session.owed if key[0] != batch.epoch or not low <= key[1] < batch.seq)
    return replace(session, ledger=session.ledger.settle(batch.epoch, low, batch.seq - 1), owed=owed)


def _columns(session: Session, batch: pb.Batch) -> Columns:
    columns = session.schemas.get(batch.schema_hash)
    if columns is None:
        raise PayloadError(session.refused[batch.schema_hash], "The batch's schema was refused.")
    check_values(columns, batch)
    return columns


def _slept(session: Session, batch: pb.Batch) -> float:
    """Seconds since the newest sample of this boot that we know; less than one is the clocks' own difference."""
    boot, before = session.suspended
    seconds = (batch.suspended_ns - before) / _NS
    return seconds if boot == session.hello.boot_id and seconds >= 1.0 else 0.0


def _final(session: Session, batch: pb.Batch, error: PayloadError) -> Step:
    """Refused for ever: it counts as done, so that a resume does not ask for it again."""
    key = (batch.epoch, batch.seq)
    done = replace(session, ledger=session.ledger.settle(*key), owed=session.owed - {key})
    return done, (nack(*key, error.reason, error.detail), Counted("bad", error.detail))


def _later(
    session: Session, batch: pb.Batch, reason: pb.NackReason.ValueType, detail: str, pause_ms: int = 1000
) -> Step:
    key = (batch.epoch, batch.seq)
    if len(session.owed) >= MAX_OWED:
        return _close(session, "RESOURCE_EXHAUSTED", "Too many batches are refused and not sent again.")
    pause = pause_ms if reason == pb.NACK_REASON_RETRY_AFTER else 0
    waiting = replace(session, owed=session.owed | {key})
    return waiting, (nack(*key, reason, detail, pause), Counted("later", detail))


def _committed(session: Session, event: Committed, _: float) -> Step:
    ledger = session.ledger
    through = dict(session.through)
    replaying, living = session.replaying, session.living
    for mark in event.marks:
        if mark.epoch in ledger:  # the late end of an epoch that was put away takes no other's place
            ledger = ledger.settle(mark.epoch, mark.seq)
        if mark.gen == session.gen:
            place = (mark.epoch, mark.lane)
            through[place] = max(through.get(place, 0), mark.seq)
            replaying -= mark.lane == pb.LANE_REPLAY
            living -= mark.lane != pb.LANE_REPLAY
    owed = session.owed.difference((mark.epoch, mark.seq) for mark in event.marks) if session.owed else session.owed
    settled = replace(session, ledger=ledger, through=_bounded(through), owed=owed, replaying=replaying, living=living)
    if session.phase is not Phase.LIVE:
        return settled, ()
    epochs = dict.fromkeys(mark.epoch for mark in event.marks if mark.gen == session.gen)
    return settled, tuple(_ack(settled, epoch) for epoch in epochs)


def _ack(session: Session, epoch: str) -> Send:
    return ack(epoch, session.through, session.owed, session.granted)


def _heartbeat(session: Session, event: Said, at: float) -> Step:
    beat = event.message.heartbeat
    anchor = at - beat.boottime_ns / _NS
    # Crystals drift apart by seconds a day; a late message alone must not move the time line.
    drifted = beat.boottime_ns > 0 and abs(anchor - session.anchor) > MAX_DRIFT_SECONDS
    # What the agent has lost it cannot send again: acks need not wait for it.
    owed = frozenset(key for key in session.owed if key[0] != session.hello.epoch or key[1] >= beat.oldest_seq)
    session = replace(session, anchor=anchor if drifted else session.anchor, owed=owed)
    session, losses = _told_lost(session, beat.dropped_total)
    return session, (Beat(None, beat), *losses)


def _going_away(session: Session, event: Said, _: float) -> Step:
    going = event.message.going_away
    name = pb.GoingAwayReason.Name(going.reason) if going.reason in pb.GoingAwayReason.values() else ""
    reason = name.removeprefix("GOING_AWAY_REASON_").lower() or "unspecified"
    return session, (Goodbye(reason, float(min(going.expected_back_seconds, 366 * 86400))),)


def _fenced(session: Session, event: Fenced, _: float) -> Step:
    closed, actions = _close(session, "ABORTED", "A newer stream of this agent has taken over.")
    if not event.clone:
        return closed, actions
    detail = "Another computer uses this identity; enrol one of them again."
    return closed, (go_away(pb.GO_AWAY_REASON_DUPLICATE_IDENTITY, detail), *actions)


def _revoked(session: Session, event: Revoked, _: float) -> Step:
    closed, actions = _close(session, "PERMISSION_DENIED", event.detail)
    return closed, (go_away(pb.GO_AWAY_REASON_REVOKED, event.detail), *actions)


def _drained(session: Session, event: Drained, _: float) -> Step:
    closed, actions = _close(session, "OK", "")
    most = round(event.window * 1000)
    return closed, (go_away(pb.GO_AWAY_REASON_DRAIN, "The collector is stopping.", 500, most), *actions)


def _interval_set(session: Session, event: IntervalSet, _: float) -> Step:
    changed = replace(session, terms=replace_terms(session.terms, interval=event.seconds))
    message = pb.StreamResponse(set_interval=pb.SetInterval(interval_seconds=event.seconds))
    return changed, (Send(message),)


def _granted(session: Session, event: Granted, _: float) -> Step:
    """Told at once: without it a backlog waits for the next ack."""
    granted = replace(session, ahead=event.batches)
    told = session.phase is Phase.LIVE and granted.granted != session.granted
    return granted, (_ack(granted, session.hello.epoch),) if told else ()


def _refused(session: Session, event: Refused, _: float) -> Step:
    return replace(session, refusing=event), ()


def _hello_overdue(session: Session, _: Event, at: float) -> Step:
    if at - session.heard_at < session.patience:
        return session, ()
    return _close(session, "DEADLINE_EXCEEDED", f"No Hello within {session.terms.hello_deadline:g} s.")


def _silent(session: Session, _: Event, at: float) -> Step:
    if at - session.heard_at < session.patience:
        return session, ()
    return _close(session, "DEADLINE_EXCEEDED", f"Nothing was said for {session.terms.silence:g} s.")


def _too_early(session: Session, _: Event, __: float) -> Step:
    return _close(session, "FAILED_PRECONDITION", "Say Hello first and wait for Welcome.")


def _hello_again(session: Session, _: Event, __: float) -> Step:
    return _close(session, "FAILED_PRECONDITION", "Hello was said already on this stream.")


def _close(session: Session, code: str, detail: str) -> Step:
    return replace(session, phase=Phase.CLOSED), (Close(code, detail),)


def _bounded(entries: Mapping[_K, _V]) -> dict[_K, _V]:
    return dict(entries) if len(entries) <= MAX_SCHEMAS else dict(list(entries.items())[-MAX_SCHEMAS:])


Row = Callable[[Session, Any, float], Step]  # each takes the one event its key names

TABLE: Mapping[tuple[Phase, str], Row] = {
    (Phase.HELLO, "hello"): _hello,
    (Phase.HELLO, "schema"): _too_early,
    (Phase.HELLO, "batch"): _too_early,
    (Phase.HELLO, "heartbeat"): _too_early,
    (Phase.HELLO, "going_away"): _too_early,
    (Phase.HELLO, "Ticked"): _hello_overdue,
    (Phase.HELLO, "Committed"): _committed,
    (Phase.HELLO, "Fenced"): _fenced,
    (Phase.HELLO, "Revoked"): _revoked,
    (Phase.HELLO, "Drained"): _drained,
    (Phase.OPENING, "Opened"): _opened,
    (Phase.OPENING, "hello"): _hello_again,
    (Phase.OPENING, "schema"): _too_early,
    (Phase.OPENING, "batch"): _too_early,
    (Phase.OPENING, "heartbeat"): _too_early,
    (Phase.OPENING, "going_away"): _too_early,
    (Phase.OPENING, "Committed"): _committed,
    (Phase.OPENING, "Granted"): _granted,
    (Phase.OPENING, "Fenced"): _fenced,
    (Phase.OPENING, "Revoked"): _revoked,
    (Phase.OPENING, "Drained"): _drained,
    (Phase.LIVE, "hello"): _hello_again,
    (Phase.LIVE, "schema"): _schema,
    (Phase.LIVE, "batch"): _batch,
    (Phase.LIVE, "heartbeat"): _heartbeat,
    (Phase.LIVE, "going_away"): _going_away,
    (Phase.LIVE, "Committed"): _committed,
    (Phase.LIVE, "Fenced"): _fenced,
    (Phase.LIVE, "Revoked"): _revoked,
    (Phase.LIVE, "Drained"): _drained,
    (Phase.LIVE, "IntervalSet"): _interval_set,
    (Phase.LIVE, "Granted"): _granted,
    (Phase.LIVE, "Refused"): _refused,
    (Phase.LIVE, "Ticked"): _silent,
    # A stream that ended still learns what became durable: the next one starts from its books.
    (Phase.CLOSED, "Committed"): _committed,
}
