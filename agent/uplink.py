"""Drives the session over one gRPC stream at a time: runs its actions, tells it what happened, owns clock and jitter.

One thread owns session and spool; others, the stream's reader too, only put into its inbox and read its report. What
goes wrong is logged once per change, as one sentence.
"""

import contextlib
import logging
import queue
import random
import resource
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import grpc
import psutil

from agent import batch, events, wire
from agent.channel import failure_of, sentence
from agent.errors import AgentError
from agent.events import Action, Event
from agent.moves import GOODBYE_SECONDS
from agent.presence import suspended_ns
from agent.report import Report, Told
from agent.round import Round
from agent.session import Session, State, step
from agent.spool import Spool
from agent.stream import Ended, Received, Stream
from agent.text import plain
from czuwak.v1 import ingest_pb2 as pb

LOG = logging.getLogger(__name__)

INBOX = 1000
ANEW_SECONDS = 2.0
# The machine is gone the next moment: its record tells it at the return. Every other goodbye is told later on.
_AT_RETURN = {pb.GOING_AWAY_REASON_SLEEP, pb.GOING_AWAY_REASON_HIBERNATE}
_GREETING = {State.GREETING, State.CALLING}
_FAREWELLS = {
    events.Farewell.REVOKED: "the collector has revoked this agent: it streams no more; enroll again with --replace",
    events.Farewell.DUPLICATE_IDENTITY: "another machine streams with this identity: enroll one of the two again",
    events.Farewell.UPGRADE_REQUIRED: "the collector needs a newer agent: upgrade this one",
}


@dataclass(frozen=True, slots=True)
class Outside:
    """What the uplink uses of the world; tests give their own. Times are seconds of one clock that never steps."""

    hello: Callable[[], pb.Hello]  # everything but epoch and numbers
    welcomed: Callable[[], None] = lambda: None  # the Hello has arrived
    interval: Callable[[float], None] = lambda _: None
    changed: Callable[[Report], None] = lambda _: None  # connected or problem is another one than before
    clock: Callable[[], float] = time.monotonic
    boottime_ns: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    suspended_ns: Callable[[], int] = suspended_ns
    jitter: Callable[[float, float], float] = random.uniform


@dataclass(frozen=True, slots=True)
class _Leave:
    reason: pb.GoingAwayReason.ValueType


@dataclass(frozen=True, slots=True)
class _Rest:
    reason: pb.GoingAwayReason.ValueType
    back: int
    told: queue.SimpleQueue[Told]


@dataclass(frozen=True, slots=True)
class _Resume:
    pass


@dataclass(frozen=True, slots=True)
class _Anew:
    pass


@dataclass(frozen=True, slots=True)
class _Flush:
    done: threading.Event


_Item = Round | Received | Ended | _Leave | _Rest | _Resume | _Anew | _Flush


class Uplink:
    """The agent's stream to one collector. `connect` makes a new channel each time, so renewed files are read again."""

    def __init__(
        self, where: str, connect: Callable[[], grpc.Channel], spool: Spool, outside: Outside, *, boot_id: str
    ) -> None:
        self._where = where
        self._connect = connect
        self._spool = spool
        self._outside = outside
        self._boot_id = boot_id
        self._inbox: queue.Queue[_Item] = queue.Queue(INBOX)
        self._session = Session()
        self._layout: batch.Layout | None = None
        self._features: frozenset[str] = frozenset()  # of the collector that said Welcome last
        self._stream: Stream | None = None
        self._streams = 0
        self._due: dict[Event, float] = {}
        self._unwritten_until = 0.0  # the disk took nothing: when it is asked again
        self._heartbeat = 30.0
        self._leaving = pb.GoingAway()
        self._left_ns = 0
        self._resting: pb.GoingAway | None = None
        self._told = Told.LATER
        self._nacked: Counter[str] = Counter()
        self._sent = self._acked = self._reconnects = 0
        self._problem = ""
        self._report = Report()
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    @property
    def report(self) -> Report:
        """The newest state; a new value each time, so any thread may read it."""
        return self._report

    def start(self, resting: pb.GoingAway | None = None) -> None:
        """Begin to connect; with a goodbye that still holds only to say it, and wait for `resume`."""
        self._resting = resting
        self._thread.start()

    def offer(self, round_: Round) -> None:
        """Hand over a round. Never waits: a round that finds the inbox full is left out and logged."""
        try:
            self._inbox.put_nowait(round_)
        except queue.Full:
            LOG.warning("The uplink is stuck; a round was left out", extra={"action": "round_left_out"})

    def goodbye(self, reason: pb.GoingAwayReason.ValueType) -> None:
        """Say goodbye, on a new stream if there is none, and stop; takes GOODBYE_SECONDS and a little at the most."""
        if self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._inbox.put(_Leave(reason), timeout=GOODBYE_SECONDS)
            self._thread.join(GOODBYE_SECONDS + 0.5)

    def rest(self, reason: pb.GoingAwayReason.ValueType, back: int = 0) -> Told:
        """Say goodbye for a while, `back` seconds if that is known, and end the stream; as quick as `goodbye`.

        Where nobody listens it is said as soon as somebody does, but for a machine that is about to sleep.
        """
        if not self._thread.is_alive():
            return Told.NEVER
        told: queue.SimpleQueue[Told] = queue.SimpleQueue()
        try:
            self._inbox.put(_Rest(reason, back, told), timeout=GOODBYE_SECONDS)
            return told.get(timeout=GOODBYE_SECONDS + 0.5)
        except queue.Full:
            return Told.AT_RETURN
        except queue.Empty:
            return Told.LATER

    def resume(self) -> None:
        """The rest is over: connect at once."""
        with contextlib.suppress(queue.Full):
            self._inbox.put(_Resume(), timeout=GOODBYE_SECONDS)

    def reconnect(self) -> None:
        """The identity is a renewed one: open a stream with it within a few seconds; what is under way is finished."""
        with contextlib.suppress(queue.Full):
            self._inbox.put(_Anew(), timeout=GOODBYE_SECONDS)

    def flush(self) -> None:
        """Put every batch that is not acknowledged on disk; returns when it is there, or after GOODBYE_SECONDS."""
        done = threading.Event()
        with contextlib.suppress(queue.Full):
            self._inbox.put(_Flush(done), timeout=GOODBYE_SECONDS)
            done.wait(GOODBYE_SECONDS)

    # --- the one thread ---

    def _run(self) -> None:
        if self._resting is not None:
            self._leave(self._resting)
            self._apply(events.Resting())
        else:
            self._due[events.Connected()] = self._outside.clock()
        while self._session.state is not State.STOPPED:
            try:
                self._turn()
            except Exception:  # the boundary of the uplink: a defect in it costs a reconnect, never the agent
                LOG.exception("The uplink failed and starts again", extra={"action": "uplink_failed"})
                self._apply(events.Disconnected())
            self._publish()

    def _turn(self) -> None:
        now = self._outside.clock()
        spill = self._spill(now)
        due = min(self._due, key=self._due.__getitem__, default=None)
        if due is not None and self._due[due] <= now:
            self._fire(due)
            return
        times = [at for at in (None if due is None else self._due[due], spill) if at is not None]
        try:
            item = self._inbox.get(timeout=max(0.0, min(times) - self._outside.clock()) if times else None)
        except queue.Empty:
            return
        self._handle(item)

    def _spill(self, now: float) -> float | None:
        """Put on disk what is due, before anything else is done; when the next is, on our clock.

        It needs no further round, which may hang in a probe, and counts from a round's beginning, however long it took.
        """
        at_ns = self._outside.boottime_ns()
        due = self._spool.next_due
        if due is not None and due <= at_ns and now >= self._unwritten_until:
            self._spool.keep_up(at_ns)
            due = self._spool.next_due
            if due is not None and due <= at_ns:
                self._unwritten_until = now + self._spool.interval
        return None if due is None else max(now + (due - at_ns) / 1e9, self._unwritten_until)

    def _fire(self, event: Event) -> None:
        del self._due[event]
        if isinstance(event, events.Connected):
            self._apply(event if self._open() else events.Disconnected())
            return
        if isinstance(event, events.HeartbeatDue):
            self._due[event] = self._outside.clock() + self._heartbeat
        elif isinstance(event, events.TimeUp) and self._session.state in _GREETING:
            self._complain(f"{self._where} does not answer: check address, route and firewall")
        self._apply(event)

    def _handle(self, item: _Item) -> None:
        if isinstance(item, Round):
            self._apply(self._kept(item))
            if self._spool.recovered():
                self._apply(events.Recovered())
        elif isinstance(item, _Leave):
            self._stop(item.reason)
        elif isinstance(item, _Rest):
            self._leave(pb.GoingAway(reason=item.reason, expected_back_seconds=item.back))
            self._spool.flush()
            self._told = Told.LATER
            self._apply(events.Resting())
            item.told.put(self._told)
        elif isinstance(item, _Resume):
            self._apply(events.Resumed())
        elif isinstance(item, _Anew):
            self._renew()
        elif isinstance(item, _Flush):
            self._spool.flush()
            item.done.set()
        elif self._stream is not None and item.stream == self._stream.number:
            if isinstance(item, Received):
                self._receive(item.message)
            else:
                self._end(item.error)

    def _apply(self, event: Event) -> None:
        waiting = deque([event])
        while waiting:
            self._session, actions = step(self._session, waiting.popleft())
            waiting.extend(answer for action in actions if (answer := self._do(action)) is not None)

    def _stop(self, reason: pb.GoingAwayReason.ValueType) -> None:
        if not self._session.owed:  # else what nobody heard is still to be said: it tells more than our own end
            self._leave(pb.GoingAway(reason=reason))
        self._spool.flush()
        self._apply(events.Goodbye())

    def _renew(self) -> None:
        self._apply(events.GoAwayReceived(events.Farewell.MOVED, 0.0, ANEW_SECONDS))
        if events.Connected() in self._due:  # no stream now: the old certificate may be the reason
            soon = self._outside.clock() + self._outside.jitter(0.0, ANEW_SECONDS)
            self._due[events.Connected()] = min(self._due[events.Connected()], soon)

    # --- what comes in ---

    def _kept(self, round_: Round) -> events.RoundTaken:
        self._layout = layout = batch.layout_for(round_, self._layout)
        seq = self._spool.next_seq
        encoded = batch.encode(round_, layout, epoch=self._spool.epoch, seq=seq, boot_id=self._boot_id)
        return events.RoundTaken(self._spool.add(encoded, layout.schema))

    def _receive(self, message: pb.StreamResponse) -> None:
        if message.HasField("welcome"):
            self._features = frozenset(message.welcome.features)
        event = wire.event_of(message, at_ns=self._outside.boottime_ns())
        if event is None:
            self._tell_refused_schema(message)
            return
        greeting = self._session.state is State.GREETING
        if isinstance(event, events.NackReceived):
            self._nacked[event.reason] += 1
        elif isinstance(event, events.GoAwayReceived) and event.reason in _FAREWELLS:
            self._complain(_FAREWELLS[event.reason])
        self._apply(event)
        if greeting and self._session.state is State.LIVE:
            self._problem = ""
            LOG.info("Streaming to %s", self._where, extra={"action": "uplink_connected"})
            self._outside.welcomed()

    def _tell_refused_schema(self, message: pb.StreamResponse) -> None:
        # A schema has no number, so its refusal is no event: what of it was known goes on, the rest is not taken.
        if message.HasField("nack") and not message.nack.seq:
            told = plain(message.nack.detail)
            LOG.warning("The collector did not take all series: %s", told, extra={"action": "schema_refused"})

    def _end(self, error: grpc.RpcError | None) -> None:
        if self._session.state is not State.DRAINING:
            default = f"{self._where} ended the stream; it is tried again"
            self._complain(default if error is None else sentence(failure_of(error), self._where))
        self._apply(events.Disconnected())

    def _complain(self, problem: str) -> None:
        if problem != self._problem:
            LOG.warning("No stream: %s", problem, extra={"action": "uplink_lost"})
        self._problem = problem

    # --- what is to be done ---

    def _do(self, action: Action) -> Event | None:
        """Carry it out; an action that asks something gives its answer back."""
        match action:
            case events.SendBatch(number, lane):
                return self._send_batch(number, lane)
            case events.Fetch(after, count, rewind):
                return events.Found(self._spool.waiting(after, count, rewind))
            case events.Acknowledge(numbers):
                self._acked += sum(map(self._spool.acknowledge, numbers))
            case events.AcknowledgeBelow(seq):
                self._acked += self._spool.acknowledge_below(seq)
            case events.Discard(number, reason):
                self._discard(number, reason)
            case events.SetInterval(seconds):
                self._spool.interval = seconds
                self._outside.interval(seconds)
            case events.Rest():
                return self._rest()
            case _:
                self._say(action)
                self._schedule(action)
        return None

    def _rest(self) -> Event | None:
        stream = self._stream
        self._close(GOODBYE_SECONDS)
        self._due = {}
        if stream is not None and stream.heard:
            self._problem = ""
            self._told = Told.HEARD
            return None
        self._told = Told.AT_RETURN if self._leaving.reason in _AT_RETURN else Told.LATER
        return None if self._told is Told.AT_RETURN else events.Unheard()

    def _say(self, action: Action) -> None:
        match action:
            case events.SendHello():
                self._send(pb.StreamRequest(hello=self._hello()))
            case events.SendSchema(digest):
                if (schema := self._spool.schema(digest)) is not None:
                    self._send(pb.StreamRequest(schema=batch.worded(schema, self._features)))
            case events.SendHeartbeat():
                self._send(pb.StreamRequest(heartbeat=self._beat()))
            case events.SendGoingAway():
                self._send(pb.StreamRequest(going_away=self._farewell()))

    def _send_batch(self, number: int, lane: events.Lane) -> Event | None:
        found = self._spool.batch(number, wire.LANES[lane])
        if found is None:
            return events.Gone(number)
        self._send(pb.StreamRequest(batch=found))
        self._sent += 1
        return None

    def _schedule(self, action: Action) -> None:
        now = self._outside.clock()
        match action:
            case events.Reconnect(least, most):
                self._close()
                self._reconnects += 1
                self._due = {events.Connected(): now + self._outside.jitter(least, most)}
            case events.Wait(None):
                self._due.pop(events.TimeUp(), None)
            case events.Wait(float(seconds)):
                self._due[events.TimeUp()] = now + seconds
            case events.RetryLater(number, seconds):
                self._due[events.RetryDue(number)] = now + seconds
            case events.SetHeartbeat(seconds):
                self._heartbeat = max(1.0, seconds)
                self._due[events.HeartbeatDue()] = now + self._heartbeat
            case events.Stop(None):
                self._spool.close()
                self._close(GOODBYE_SECONDS)
            case events.Stop(_):
                self._close()

    def _discard(self, number: int, reason: events.Refusal) -> None:
        self._spool.discard(number)
        LOG.warning("Batch %d was refused for good: %s", number, reason, extra={"action": "batch_dropped"})

    def _hello(self) -> pb.Hello:
        hello = self._outside.hello()
        hello.epoch = self._spool.epoch
        hello.first_seq = self._spool.first_seq
        hello.next_seq = self._spool.next_seq
        hello.dropped_total = self._spool.dropped
        return hello

    def _leave(self, going: pb.GoingAway) -> None:
        self._leaving, self._left_ns = going, self._outside.boottime_ns()

    def _farewell(self) -> pb.GoingAway:
        """The goodbye as of now: it may be said long after it was meant."""
        going, back = self._leaving, self._leaving.expected_back_seconds
        gone = (self._outside.boottime_ns() - self._left_ns) // 1_000_000_000
        return pb.GoingAway(reason=going.reason, expected_back_seconds=max(1, back - gone) if back else 0)

    def _beat(self) -> pb.Heartbeat:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return pb.Heartbeat(
            boottime_ns=self._outside.boottime_ns(),
            queued_batches=self._spool.batches,
            oldest_seq=self._spool.oldest_queued,
            dropped_total=self._spool.dropped,
            cpu_seconds=used.ru_utime + used.ru_stime,
            memory_bytes=psutil.Process().memory_info().rss,
            suspended_ns=self._outside.suspended_ns(),
        )

    # --- the stream ---

    def _open(self) -> bool:
        try:
            channel = self._connect()
        except AgentError as error:
            self._complain(str(error))
            return False
        self._streams += 1
        self._stream = Stream(self._streams, channel, self._inbox.put)
        return True

    def _send(self, request: pb.StreamRequest) -> None:
        if self._stream is not None:
            self._stream.send(request)

    def _close(self, patience: float = 0.0) -> None:
        if self._stream is not None:
            self._stream.close(patience)
            self._stream = None

    def _publish(self) -> None:
        before, self._report = (
            self._report,
            Report(
                connected=self._session.state is State.LIVE,
                stopped=self._session.state is State.STOPPED,
                sent=self._sent,
                acked=self._acked,
                nacked=MappingProxyType(dict(self._nacked)),
                dropped=self._spool.dropped,
                spool_batches=self._spool.batches,
                spool_bytes=self._spool.size,
                stored=self._spool.stored,
                stored_bytes=self._spool.disk_bytes,
                disk_ok=not self._spool.trouble,
                reconnects=self._reconnects,
                problem=self._problem,
            ),
        )
        if (before.connected, before.problem) != (self._report.connected, self._report.problem):
            self._outside.changed(self._report)
