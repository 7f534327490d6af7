"""The past of hosts that come back with a backlog, judged in a small head of its own, beside the present.

Owned by the engine's thread. Hosts whose gaps are about equally long go through it together, as a cohort. A replayed
batch may be acknowledged only when the looks that consumed it are done and what was missed is written.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from collector.alerts.alert import Alert
from collector.head import Head, UnknownSchemaError, Want
from collector.head.decode import Arrays, Places, picked, places
from collector.ingest.demand import wants
from collector.ingest.events import Append, Waiting
from collector.labels import NAME, Labels
from collector.rules.lookback import Episode, Lookback, Outcome, spacing
from collector.rules.model import Group
from collector.rules.schedule import rules_key

CHUNK = 1800.0  # seconds of the past after which a look is due at once
PATIENCE = 8.0  # seconds a batch waits for others to be looked at with
SOON = 2.0  # seconds the end of a backlog waits
IDLE = 45.0  # seconds without a replayed batch after which a host's backlog counts as told
DAWDLE = 30.0  # seconds a host may be far behind the others
AHEAD = 4 * 3600.0  # seconds of samples kept before the place looked at
MOST_BYTES = 256 * 1024 * 1024
MOST_SAMPLES = 4096  # of one series
OUTAGE = 150.0  # seconds without a sample: nothing was there
NEWS_GRACE = 10.0


@dataclass(frozen=True, slots=True)
class Past:
    """A host has come through: what is true of it at `at`, the end of its backlog."""

    host: str
    instance: str
    gen: int
    at: float
    outcome: Outcome
    judged: float


@dataclass(frozen=True, slots=True)
class Looked:
    """What one turn of work settled; `episodes` are to be written before the acks of `waiting` may go."""

    waiting: tuple[Waiting, ...] = ()
    pasts: tuple[Past, ...] = ()
    episodes: tuple[Episode, ...] = ()


@dataclass(slots=True)
class _Guest:
    instance: str
    interval: float
    gen: int
    judged: float
    heard_at: float
    newest: float = -math.inf
    seq: int = 0
    live_seq: int = 0  # first number of this stream's live lane: the backlog ends before it
    late_at: float = math.inf  # since when it has been far behind the others
    done: bool = False
    gate: deque[tuple[float, Waiting]] = field(default_factory=deque)
    columns: dict[bytes, Places] = field(default_factory=dict)


@dataclass(slots=True)
class _Cohort:
    bucket: int
    head: Head
    lookback: Lookback
    since: float
    begun: bool = False
    through: float = -math.inf  # of the sweep under way
    sweep: Iterator[list[Episode]] | None = None
    guests: dict[str, _Guest] = field(default_factory=dict)


class Shadow:
    """`alerts_of` gives what is held of an instance; `timer` bounds a turn."""

    def __init__(
        self,
        groups: Sequence[Group],
        alerts_of: Callable[[str], Sequence[Alert]],
        *,
        most_bytes: int = MOST_BYTES,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._groups = groups
        self._alerts_of = alerts_of
        self._most_bytes = most_bytes
        self._timer = timer
        self._wanted = _by_name(wants(groups))
        self._spacing = spacing(groups)
        self._reach = max((rule.plan.max_range for group in groups for rule in group.rules), default=0.0) + 600.0
        self._cohorts: list[_Cohort] = []
        self._home: dict[str, _Cohort] = {}
        self._live: dict[str, tuple[int, int]] = {}  # host -> session, first number of its live lane
        self._past: dict[str, int] = {}  # host -> session whose backlog needs no look any more
        self.turned_away = 0

    @property
    def hosts(self) -> int:
        """How many are inside."""
        return len(self._home)

    @property
    def size(self) -> int:
        """Bytes of their samples in memory."""
        return sum(cohort.head.stats.bytes for cohort in self._cohorts)

    @property
    def busy(self) -> bool:
        """A look is under way."""
        return any(cohort.sweep is not None for cohort in self._cohorts)

    def live(self, host: str, gen: int, seq: int) -> None:
        """A batch of the live lane: this stream's backlog ends before the first of them."""
        if self._live.get(host, (0, 0))[0] != gen:
            self._live[host] = (gen, seq)
            guest = self._guest(host)
            if guest is not None:
                guest.gen, guest.live_seq = gen, seq
                guest.done = guest.done or guest.seq >= seq - 1

    def admits(self, host: str, instance: str, interval: float, batch: Append, now: float) -> bool:
        """Whether this replayed batch is of a gap that is to be looked at; the host is inside from then on."""
        if host in self._home:
            return True
        gap = batch.hello_at - max(batch.judged, batch.at)
        if not self._wanted or batch.columns is None or batch.at > batch.hello_at or batch.at <= batch.judged:
            return False
        if self._past.get(host) == batch.mark.gen or gap <= 2 * interval + NEWS_GRACE:
            return False
        if self.size > self._most_bytes:
            self._past[host] = batch.mark.gen
            self.turned_away += 1
            return False
        cohort = self._cohort(int(math.log2(gap)), max(batch.judged, batch.at), now)
        gen, seq = self._live.get(host, (0, 0))
        guest = _Guest(instance, interval, batch.mark.gen, batch.judged, now)
        guest.live_seq = seq if gen == batch.mark.gen else 0
        cohort.guests[host] = guest
        cohort.lookback.seed(self._alerts_of(instance))
        self._home[host] = cohort
        return True

    def append(self, host: str, batch: Append, arrays: Arrays | None, waiting: Waiting) -> None:
        """One replayed batch of a host inside; without values it is a duplicate that only wants its ack."""
        cohort = self._home[host]
        guest = cohort.guests[host]
        guest.heard_at = waiting.since
        if guest.gen != batch.mark.gen:
            gen, seq = self._live.get(host, (0, 0))
            guest.gen, guest.live_seq = batch.mark.gen, seq if gen == batch.mark.gen else 0
        guest.seq = max(guest.seq, batch.mark.seq)
        guest.done = 0 < guest.live_seq <= guest.seq + 1
        if arrays is not None and batch.at > guest.newest:
            self._take(cohort, host, guest, batch, arrays)
        guest.gate.append((guest.newest, waiting))

    def forget(self, host: str) -> tuple[Waiting, ...]:
        """The host is retired; the acks that were held."""
        self._live.pop(host, None)
        self._past.pop(host, None)
        cohort = self._home.pop(host, None)
        if cohort is None:
            return ()
        guest = cohort.guests.pop(host)
        cohort.lookback.leave(guest.instance)
        cohort.head.remove(host)
        return tuple(waiting for _, waiting in guest.gate)

    def close(self) -> tuple[Waiting, ...]:
        """Nobody is looked at any more; the acks that were held."""
        held = tuple(w for cohort in self._cohorts for guest in cohort.guests.values() for _, w in guest.gate)
        self._cohorts, self._home = [], {}
        return held

    def work(self, now: float, until: float) -> Looked:
        """Looks, one after the other, up to the timer's `until`; what that settled."""
        episodes: list[Episode] = []
        waiting: list[Waiting] = []
        pasts: list[Past] = []
        for cohort in tuple(self._cohorts):
            while cohort.guests and (cohort.sweep is not None or self._begin(cohort, now)):
                for found in cohort.sweep or ():
                    episodes += [one for one in found if self._missed(cohort, one)]
                    if self._timer() >= until:
                        return Looked(tuple(waiting), tuple(pasts), tuple(episodes))
                free, gone = self._end(cohort, now)
                waiting += free
                pasts += gone
        return Looked(tuple(waiting), tuple(pasts), tuple(episodes))

    def _guest(self, host: str) -> _Guest | None:
        cohort = self._home.get(host)
        return cohort.guests[host] if cohort else None

    def _cohort(self, bucket: int, start: float, now: float) -> _Cohort:
        for cohort in self._cohorts:
            if cohort.bucket == bucket and not cohort.begun:
                cohort.lookback.begin(start)
                return cohort
        head = Head(retention=self._reach + AHEAD, max_samples=MOST_SAMPLES)
        made = _Cohort(bucket, head, Lookback(self._groups, key_of=rules_key, start=start), now)
        self._cohorts.append(made)
        return made

    def _take(self, cohort: _Cohort, host: str, guest: _Guest, batch: Append, arrays: Arrays) -> None:
        columns = batch.columns
        if columns is None:
            return
        before = guest.newest
        if batch.at - before < self._spacing - 1.0 and not guest.done:
            return
        guest.newest = batch.at
        if math.isfinite(before) and batch.at - before > max(OUTAGE, 4 * guest.interval):
            cohort.head.mark_stale(host, before + guest.interval)
        keep = guest.columns.get(columns.key)
        if keep is None:
            keep = self._register(cohort, host, guest, columns.key, columns.series())
        if not len(keep):
            return
        try:
            cohort.head.append(host, columns.key, batch.at, *picked(arrays, keep))
        except UnknownSchemaError:
            keep = self._register(cohort, host, guest, columns.key, columns.series())
            cohort.head.append(host, columns.key, batch.at, *picked(arrays, keep))

    def _register(self, cohort: _Cohort, host: str, guest: _Guest, key: bytes, series: Sequence[Labels]) -> Places:
        keep = [place for place, labels in enumerate(series) if self._looked_at(labels)]
        if keep:
            cohort.head.register(host, key, [series[place] for place in keep])
        guest.columns[key] = places(keep)
        return guest.columns[key]

    def _looked_at(self, labels: Labels) -> bool:
        asked = (*self._wanted.get(labels.get(NAME), ()), *self._wanted.get("", ()))
        return any(all(m.accepts(labels.get(m.name)) for m in want.matchers) for want in asked)

    def _begin(self, cohort: _Cohort, now: float) -> bool:
        for guest in cohort.guests.values():
            guest.done = guest.done or now - guest.heard_at > IDLE
        self._expel(cohort, now)
        open_, newest = [g.newest for g in cohort.guests.values() if not g.done], cohort.guests.values()
        through = min(open_, default=max((g.newest for g in newest), default=-math.inf))
        done = any(guest.done for guest in cohort.guests.values())
        held = any(guest.gate for guest in cohort.guests.values())
        waited = now - cohort.since >= (SOON if done else PATIENCE) and (held or done)
        if not (waited or not open_ or through - cohort.lookback.through >= CHUNK):
            return False
        cohort.begun, cohort.since = True, now
        # In short pieces: what a rule needs of one is worked out without a pause, and the present must not wait for it.
        cohort.through = max(min(through, cohort.lookback.through + CHUNK), cohort.lookback.through)
        cohort.sweep = cohort.lookback.sweep(cohort.head.select, cohort.through, cohort.head.set)
        return True

    def _expel(self, cohort: _Cohort, now: float) -> None:
        """Whoever dawdles must not hold the others back."""
        ahead = max((guest.newest for guest in cohort.guests.values()), default=-math.inf)
        for guest in cohort.guests.values():
            guest.late_at = min(guest.late_at, now) if guest.newest < ahead - CHUNK else math.inf
            guest.done = guest.done or now - guest.late_at > DAWDLE

    def _end(self, cohort: _Cohort, now: float) -> tuple[tuple[Waiting, ...], tuple[Past, ...]]:
        cohort.sweep, cohort.since = None, now
        waiting: list[Waiting] = []
        pasts: list[Past] = []
        for host, guest in tuple(cohort.guests.items()):
            while guest.gate and guest.gate[0][0] <= cohort.through:
                waiting.append(guest.gate.popleft()[1])
            if guest.done and guest.newest <= cohort.through:
                waiting += [one for _, one in guest.gate]
                outcome = cohort.lookback.leave(guest.instance)
                pasts.append(Past(host, guest.instance, guest.gen, guest.newest, outcome, guest.judged))
                self._past[host] = guest.gen
                del cohort.guests[host], self._home[host]
                cohort.head.remove(host)
        cohort.head.compact(cohort.through + AHEAD)
        if not cohort.guests:
            self._cohorts.remove(cohort)
        return tuple(waiting), tuple(pasts)

    def _missed(self, cohort: _Cohort, episode: Episode) -> bool:
        """Only what began inside the gap of a host inside: the rest the present has dealt with."""
        judged = [g.judged for g in cohort.guests.values() if g.instance == episode.instance]
        return bool(judged) and episode.start >= judged[0]


def _by_name(every: Sequence[Want]) -> dict[str, list[Want]]:
    """Wants by the metric they name; those that name none under the empty name."""
    found: dict[str, list[Want]] = {}
    for want in every:
        name = next((m.value for m in want.matchers if m.name == NAME and m.match.value == "="), "")
        found.setdefault(name, []).append(want)
    return found
