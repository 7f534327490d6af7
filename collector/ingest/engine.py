"""The engine: the one thread that owns head and schedule. Appends, judges, commits, and only then lets acks go.

Everybody else hands it work through a queue; nothing but the commit touches a database, no other thread the head.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from collector.alerts.alert import Alert, AlertChanges
from collector.head import Head, UnknownSchemaError, Want
from collector.head.decode import Arrays, Mask, Values, decode
from collector.ingest import demand
from collector.ingest.columns import Columns
from collector.ingest.events import Acked, Append, Mark, Waiting
from collector.ingest.hindsight import Found, Hindsight
from collector.ingest.inbox import Inbox
from collector.ingest.overload import Load
from collector.ingest.own import OwnSeries
from collector.ingest.snapshot import Snapshot
from collector.ingest.spread import Spread
from collector.labels import Labels
from collector.metrics import Metrics
from collector.query.errors import EngineStoppedError
from collector.rules.model import Group
from collector.rules.schedule import Schedule
from collector.store.gaps import Missed

MAX_INBOX = 20_000
MAX_WAITING = 200_000  # batches without a commit; older ones are sent again by their agents
UPKEEP = 1.0
REFRESH = 60.0  # own series: several times within a look-back of five minutes
COMPACT = 60.0
_BEFORE = 0.002
_SHORT, _USUAL = 1e-4, sys.getswitchinterval()  # seconds that a thread waits for the interpreter

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class _HostState:
    """What the engine knows of one host besides its samples."""

    instance: str
    interval: float = 15.0
    live_at: float = 0.0  # time of the newest sample collected after a Hello
    edge_gen: int = -1  # session that showed such a sample ...
    edge_at: float = 0.0  # ... and our time when it came
    woke_at: float = 0.0  # time of the first sample after its last sleep
    masked_gen: int = -1  # session whose replay was hidden from the present
    stale: bool = True


@dataclass(slots=True)
class _Times:
    upkeep: float = 0.0
    last: float = 0.0


@dataclass(slots=True)
class _State:
    hosts: dict[str, _HostState] = field(default_factory=dict)
    online: set[str] = field(default_factory=set)  # instances with fresh samples
    waiting: list[Waiting] = field(default_factory=list)
    looked: list[Waiting] = field(default_factory=list)  # the same of a backlog: their age is the look's, not a lag
    owed: list[AlertChanges] = field(default_factory=list)  # of a reload, to commit before anything else
    trouble: dict[str, str] = field(default_factory=dict)  # work -> what it said when it failed


class Engine(threading.Thread):
    """Start it once. `commit` is `Intake.alerts`; `clock` gives Unix seconds and never goes back.

    `schedule` is given the function that says whether a label set's host has fresh samples, and makes the Schedule.
    `recall` is called before each evaluation, `settle` after it, before acks go, also after one that failed.
    `wants` is what its rules look at; None keeps every series as long as the head's retention.
    `groups` are looked back with at what hosts bring of their past; `missed` writes what was over by then.
    """

    def __init__(
        self,
        *,
        head: Head,
        schedule: Callable[[Callable[[Labels], bool]], Schedule],
        commit: Callable[[AlertChanges, float], Sequence[Alert]],
        clock: Callable[[], float],
        metrics: Metrics,
        tick: float = 1.0,
        wants: Sequence[Want] | None = None,
        recall: Callable[[Schedule, float], None] = lambda _schedule, _at: None,
        settle: Callable[[Schedule], None] = lambda _schedule: None,
        snapshot: Snapshot | None = None,
        groups: Sequence[Group] = (),
        missed: Callable[[Sequence[Missed]], None] = lambda _missed: None,
    ) -> None:
        super().__init__(name="engine", daemon=True)
        self._head = head
        self._own = OwnSeries(head)
        self._state = _State()
        self._schedule = schedule(self._host_online)
        self._commit_changes = commit
        self._recall = recall
        self._settle = settle
        self._clock = clock
        self._metrics = metrics
        self._tick = tick
        self._inbox = Inbox()
        self._spread = (
            Spread(REFRESH, lambda _now: (len(self._own), self._own.repeating(self._now))),
            Spread(COMPACT, lambda now: (head.stats.hosts, head.compacting(now))),
        )
        self._stopping = threading.Event()
        self._times = _Times()
        self._wants = wants
        self._rest = demand.REST
        self._snapshot = snapshot
        self._hindsight = Hindsight(groups, self._schedule, missed, metrics)
        if wants is not None:
            head.demand(wants, rest=self._rest)

    # --- for other threads ---

    @property
    def full(self) -> bool:
        """Whether senders should wait: the inbox is at its bound."""
        return len(self._inbox) >= MAX_INBOX

    @property
    def load(self) -> Load:
        """What is before it; read from another thread it may be a moment old."""
        waiting = () if self._state.trouble.get("evaluation") else self._state.waiting[:1]
        late = max((self._clock() - one.since - self._tick for one in waiting), default=0.0)  # one tick all wait
        return Load(len(self._inbox), MAX_INBOX, max(0.0, late))

    def append(self, host: str, instance: str, interval: float, batch: Append, acked: Acked) -> None:
        """Takes one batch; `acked` is called in this thread once its evaluation has committed."""
        self._inbox.put(partial(self._append, host, instance, interval, batch, acked))

    def goodbye(self, host: str, at: float) -> None:
        """The host says it goes: its series end now."""
        self._inbox.put(partial(self._end, host, at))

    def describe(self, host: str, shared: Labels, values: Mapping[Labels, float]) -> None:
        """Our own series about a host, repeated until told otherwise, by labels without the `shared`. NaN: no value."""
        self._inbox.put(partial(self._own.tell, host, shared, dict(values)))

    def forget(self, host: str) -> None:
        """The host is retired: nothing of it stays in memory."""
        self._inbox.put(partial(self._forget, host))

    def reload(self, groups: Iterable[Group]) -> "Future[None]":
        """Other rules from the next evaluation on; alerts of rules that are gone end."""
        return self.call(lambda _head, schedule, at: self._reload(tuple(groups), schedule, at))

    def call(self, work: Callable[[Head, Schedule, float], T], *, urgent: bool = True) -> "Future[T]":
        """Runs `work(head, schedule, now)` in the engine's thread, at once if urgent; its error is the future's.

        What is urgent finds in the head what `describe` was told before.
        """
        future: Future[T] = Future()
        if self._stopping.is_set():
            future.set_exception(EngineStoppedError("The engine has stopped."))
        else:
            self._inbox.put(partial(self._answer, future, work, urgent=urgent), urgent=urgent)
        return future

    def stop(self, timeout: float = 10.0) -> None:
        """Evaluates what is in the inbox once more, acks, ends the thread."""
        self._stopping.set()
        self._inbox.hurry()
        if self.is_alive():
            self.join(timeout)

    # --- the thread ---

    def run(self) -> None:
        """The loop; ends after `stop`."""
        if self._snapshot is not None:
            self._guarded("restore", partial(self._snapshot.restore, self._head, self._now(), self._fit))
        while not self._stopping.is_set():
            wake = 0.0 if self._hindsight.busy else min(self._due(), self._times.upkeep)
            self._drain(max(0.0, wake - self._clock()))
            self._turn()
        self._work_off(self._clock() + self._tick)
        self._evaluate(self._now())
        if self._snapshot is not None:
            self._guarded("snapshot", partial(self._snapshot.finish, self._head, self._now()))

    def _drain(self, patience: float) -> None:
        """Works off the inbox, waiting at most `patience` seconds before; then until the rules are due.

        A quarter of a tick at least, so that a full inbox is worked off whatever judging takes, and one at most:
        after a stall a longer round would leave an evaluation out.
        """
        if patience > 0:
            self._inbox.wait(min(patience, UPKEEP))
        begin = self._clock()
        self._work_off(min(begin + self._tick, max(begin + self._tick / 4, self._due())))

    def _work_off(self, until: float) -> None:
        while (work := self._inbox.take()) is not None:
            self._guarded("inbox", work)
            if self._clock() >= until:
                self._inbox.hurry()
                break
        self._guarded("inbox", self._write_own)

    def _write_own(self) -> None:
        self._fit()  # first: after a start a whole fleet is told of at once
        self._own.write(self._now())

    def _turn(self) -> None:
        now = self._now()
        times = self._times
        if now >= times.upkeep:
            times.upkeep = now + UPKEEP
            self._guarded("upkeep", partial(self._upkeep, now))
        if now >= self._due():
            self._evaluate(now)
        self._look_back(now)
        if self._snapshot is not None:
            self._guarded("snapshot", partial(self._snapshot.step, self._head, now))

    def _due(self) -> float:
        return min(self._schedule.next_due(), self._times.last + self._tick if self._idle() else float("inf"))

    def _idle(self) -> bool:
        """Without any rule a batch's effect is its place in memory: each tick lets the acks go."""
        return self._schedule.next_due() == float("inf")

    def _now(self) -> float:
        """Evaluation times only grow."""
        return max(self._clock(), self._times.last)

    def _guarded(self, work: str, do: Callable[[], object]) -> bool:
        """The boundary: whatever one piece of work does, the thread goes on. Told once per change."""
        error = _attempt(do)
        if error is None:
            if work == "evaluation" and self._state.trouble.pop(work, ""):
                log.info("Evaluations are committed again.", extra={"action": "engine_recovered"})
            return True
        self._metrics.failures.labels(work).inc()
        said = f"{type(error).__name__}: {error}"
        if self._state.trouble.get(work) != said:
            self._state.trouble[work] = said
            log.warning("The engine's %s failed: %s", work, said, extra={"action": "engine_failed"}, exc_info=error)
        return False

    def _evaluate(self, at: float) -> None:
        self._times.last = at
        held, looked = self._state.waiting, self._state.looked
        self._state.waiting, self._state.looked = [], []
        with self._metrics.evaluation.time():
            done = self._guarded("evaluation", partial(self._judge, at))
        if not done:
            self._state.waiting, self._state.looked = held[-MAX_WAITING:], looked[-MAX_WAITING:]
            return
        marks: dict[Acked, list[Mark]] = {}
        for one in (*held, *looked):
            marks.setdefault(one.acked, []).append(one.mark)
            self._metrics.ack_lag.observe(max(0.0, at - one.since))
        for acked, batch in marks.items():
            self._guarded("ack", partial(acked, tuple(batch)))
        self._hindsight.judged(at, self._edge_of)

    def _judge(self, at: float) -> None:
        try:
            while self._state.owed:
                self._commit(self._state.owed[0], at)
                del self._state.owed[0]
            self._recall(self._schedule, at)
            with turns(_SHORT, after=_USUAL):
                self._schedule.run(self._head.select, at, commit=self._commit_of_run, record=self._head.set)
        finally:
            self._settle(self._schedule)

    def _commit_of_run(self, changes: AlertChanges, at: float) -> Sequence[Alert]:
        with turns(_USUAL, after=_SHORT):
            return self._commit(changes, at)

    def _commit(self, changes: AlertChanges, at: float) -> Sequence[Alert]:
        done = False
        try:
            with self._metrics.commit.time():
                stored = self._commit_changes(changes, at)
            done = True
        finally:
            self._metrics.database_up.set(done)
            self._metrics.database_errors.inc(not done)
        return stored

    # --- pieces of work ---

    def _append(self, host: str, instance: str, interval: float, batch: Append, acked: Acked) -> None:
        state = self._state.hosts.get(host) or self._state.hosts.setdefault(host, _HostState(instance))
        state.instance, state.interval = instance, interval
        waiting = Waiting(batch.mark, acked, self._now())
        inside = batch.replay and self._hindsight.shadow.admits(host, instance, interval, batch, waiting.since)
        arrays = None if batch.columns is None else self._take(host, state, batch, batch.columns)
        if inside:
            self._hindsight.shadow.append(host, batch, arrays, waiting)
            return
        if not batch.replay:
            self._hindsight.shadow.live(host, batch.mark.gen, batch.mark.seq)
        self._state.waiting.append(waiting)

    def _take(self, host: str, state: _HostState, batch: Append, columns: Columns) -> Arrays:
        present, values = decode(columns.total, batch.presence, batch.values, columns.keep)
        if batch.edge:
            self._woken(host, state, batch)
        if batch.at > max(state.live_at - self._head.retention, state.woke_at - _BEFORE):
            self._put(host, batch, columns, present, values)
        if batch.edge:
            state.edge_at = state.edge_at if state.edge_gen == batch.mark.gen else self._now()
            state.edge_gen = batch.mark.gen
            state.live_at = max(state.live_at, batch.at)
            state.stale = False
            self._state.online.add(state.instance)
        elif batch.mark.gen not in (state.edge_gen, state.masked_gen):
            # Until the host shows a fresh sample, what it tells of the past must not look like the present.
            state.masked_gen = batch.mark.gen
            self._head.mark_stale(host, batch.hello_at - _BEFORE)
        return present, values

    def _put(self, host: str, batch: Append, columns: Columns, present: Mask | None, values: Values) -> None:
        put = self._head.append if batch.edge else self._head.append_old
        try:
            put(host, columns.key, batch.at, present, values)
        except UnknownSchemaError:
            self._head.register(host, columns.key, columns.own(), columns.identity.shared())
            put(host, columns.key, batch.at, present, values)
        self._metrics.samples.inc(len(values) if present is None else int(present.sum()))

    def _woken(self, host: str, state: _HostState, batch: Append) -> None:
        """The host slept: no window reaches over it, no `for` counts it."""
        if batch.slept > 0.0:
            state.woke_at = batch.at
            self._end(host, max(state.live_at, batch.at - batch.slept))
            self._head.cut(host, batch.at)
            self._owe(self._schedule.shift(state.instance, batch.slept, self._now()))

    def _end(self, host: str, at: float) -> None:
        state = self._state.hosts.get(host)
        if state is not None and not state.stale:
            state.stale = True
            self._state.online.discard(state.instance)
            self._head.mark_stale(host, at)

    def _forget(self, host: str) -> None:
        state = self._state.hosts.pop(host, None)
        if state is not None:
            self._state.online.discard(state.instance)
        self._head.remove(host)
        self._own.forget(host)
        self._state.looked += self._hindsight.shadow.forget(host)

    def _reload(self, groups: tuple[Group, ...], schedule: Schedule, at: float) -> None:
        self._head.retention = max(self._head.retention, retention_for(groups))
        if self._wants is not None:
            self._wants = demand.wants(groups)
            self._head.demand(self._wants, rest=self._rest)
        self._owe(schedule.replace(groups, at))
        self._state.looked += self._hindsight.reload(groups)

    def _owe(self, changes: AlertChanges) -> None:
        if changes:
            self._state.owed.append(changes)

    def _look_back(self, now: float) -> None:
        if not self._guarded("lookback", lambda: self._seen(self._hindsight.work(now, self._edge_of))):
            self._state.looked += self._hindsight.give_up()

    def _seen(self, found: Found) -> None:
        for changes in found.changes:
            self._owe(changes)
        self._state.looked += found.waiting

    def _edge_of(self, host: str) -> tuple[int, float]:
        """The session whose fresh sample rules have seen last, -1 none yet; and when its first one came."""
        state = self._state.hosts.get(host)
        if state is None or not state.edge_at < self._times.last:
            return -1, 0.0
        return state.edge_gen, state.edge_at

    def _answer(self, future: "Future[T]", work: Callable[[Head, Schedule, float], T], *, urgent: bool) -> None:
        if not future.set_running_or_notify_cancel():
            return

        def do() -> None:
            if urgent:
                self._write_own()
            future.set_result(work(self._head, self._schedule, self._now()))

        error = _attempt(do)
        if error is not None:
            future.set_exception(error)

    def _host_online(self, labels: Labels) -> bool:
        return labels.get("instance") in self._state.online

    def _upkeep(self, now: float) -> None:
        for host, state in self._state.hosts.items():
            if not state.stale and now - state.live_at > 2 * state.interval + 10.0:
                self._end(host, now)
        for spread in self._spread:
            spread.step(now)
        self._fit()  # each time: a whole fleet may arrive within seconds
        self._measure()
        self._hindsight.measure()

    def _fit(self) -> None:
        """Keeps what no rule asks for only while there is room for it."""
        rest = demand.rest(self._head.stats, self._rest, self._head.interval, known=len(self._own))
        if self._wants is not None and rest != self._rest:
            self._rest = rest
            self._head.demand(self._wants, rest=rest)
            log.info("Series that no rule looks at are kept for %d s.", rest, extra={"action": "head_fitted"})

    def _measure(self) -> None:
        stats, m = self._head.stats, self._metrics
        m.inbox.set(len(self._inbox))
        m.waiting.set(len(self._state.waiting) + len(self._state.looked))
        m.head_hosts.set(max(0, stats.hosts - len(self._own)))
        m.head_series.set(stats.series)
        m.head_samples.set(stats.samples)
        m.head_bytes.set(stats.bytes)
        groups = self._schedule.report()
        m.judged({(group.file, group.name): (group.last_duration, group.missed) for group in groups})
        rules = [rule for group in groups for rule in group.rules]
        m.rules_failing.set(sum(rule.health == "err" for rule in rules))
        for name in ("pending", "firing", "unknown"):
            m.alerts.labels(name).set(sum(getattr(rule, name) for rule in rules))


def retention_for(groups: Iterable[Group], least: float = 3600.0) -> float:
    """Seconds of history the rules of these groups look back, and a little more."""
    return max([least, *(rule.plan.max_range + 600.0 for group in groups for rule in group.rules)])


@contextmanager
def turns(seconds: float, *, after: float) -> Iterator[None]:
    """Let threads wait for the interpreter so long, and `after` it so: not as before, for others may judge meanwhile.

    numpy gives it away at each of the ten thousand steps of judging a large fleet, and beside a busy event loop each
    step would wait 5 ms to go on. Short turns for good, or for a database, would cost half of a processor.
    """
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(after)


def _attempt(do: Callable[[], object]) -> Exception | None:
    """The boundary of the engine's thread: a bug or a lost database in one piece of work must not end all alerting."""
    try:
        do()
    except Exception as error:  # noqa: BLE001 - see above
        return error
    return None
