"""One simulated agent's books: numbers, an honest spool in memory, the crossing of its threshold. Pure.

It owes what a real agent owes: a batch is forgotten when it is durable, refused for good, or older than its memory.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from collector.bench.rounds import HIGH, LOW

NS = 1_000_000_000
MAX_LIVE_UNDER_WAY = 16
NEWS_GRACE = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """When a member's level goes over its threshold; seconds since the start, 0 for `hold` and `every` means never.

    A crossing ends only after batches over the threshold were acknowledged at the live edge over `hold`, and the next
    one begins only after one under it was: each is an episode that somebody outside can count.
    """

    first: float = math.inf
    hold: float = 0.0
    every: float = 0.0
    backlog: int = 0  # batches from before the start that nobody has acknowledged
    step: float = 15.0  # seconds between two batches of the backlog
    stale: bool = False  # a crossing in the middle of the backlog, over long ago
    memory: float = 1800.0  # seconds an acknowledged batch can still be sent again


@dataclass(frozen=True, slots=True)
class Entry:
    """One batch, taken and numbered."""

    seq: int
    taken_ns: int
    level: float


Note = Callable[..., None]  # what, then fields: a line of the ledger


@dataclass(slots=True)
class Member:
    """Made once an agent; lives over all its streams. `interval` is what the collector asked for."""

    plan: Plan
    interval: float
    note: Note
    start_ns: int
    next_seq: int = 0
    first_seq: int = 1
    high: bool = False
    entries: dict[int, Entry] = field(default_factory=dict)  # live ones, acknowledged ones too, by age
    waiting: deque[int] = field(default_factory=deque)  # for the replay lane, oldest first
    live: dict[int, float] = field(default_factory=dict)  # under way -> when it was sent
    replay: dict[int, float] = field(default_factory=dict)
    acked: set[int] = field(default_factory=set)
    dropped: int = 0
    gone: set[int] = field(default_factory=set)  # their numbers
    credits: int = 0
    due: float = 0.0  # of the next crossing
    calmed: bool = False
    edge: int = 0  # number of the first batch on this side of the threshold
    settled: bool = True  # a batch on this side was acknowledged in the live lane
    settled_ns: int = 0  # when that batch was taken
    held_ns: int = 0  # a batch of this side taken so long after it was acknowledged live too
    fresh_from: int = 0  # first number taken after the Hello: an older one says nothing about now

    def __post_init__(self) -> None:
        self.due = self.plan.first
        self.next_seq = self.plan.backlog + 1
        self.waiting.extend(range(1, self.next_seq))

    # --- rounds ---

    def round(self, at: float, taken_ns: int) -> Entry:
        """Take the next round, `at` seconds since the start."""
        self._turn(at)
        entry = Entry(self.next_seq, taken_ns, HIGH if self.high else LOW)
        self.entries[entry.seq] = entry
        self.next_seq += 1
        self._forget(taken_ns)
        return entry

    def calm(self) -> None:
        """No further crossing; the level comes down once it may."""
        self.due = math.inf
        self.calmed = True

    @property
    def restless(self) -> bool:
        """Whether it stands over the threshold, or its last turn was not acknowledged yet."""
        return self.high or not self.settled

    @property
    def unacked(self) -> int:
        """Batches that are not durable as far as it knows."""
        return len(self.waiting) + len(self.live) + len(self.replay)

    def _turn(self, at: float) -> None:
        if not self.settled:
            return
        if self.high and (self.calmed or 0 < self.plan.hold * NS <= self.held_ns):
            self._cross(high=False)
        elif not self.high and at >= self.due:
            self.due = at + self.plan.every if self.plan.every > 0 else math.inf
            self._cross(high=True)

    def _cross(self, *, high: bool) -> None:
        self.note("crossed" if high else "back", seq=self.next_seq, held=self.held_ns / NS)
        self.high, self.settled, self.edge, self.held_ns = high, False, self.next_seq, 0

    def _forget(self, now_ns: int) -> None:
        """Batches older than the memory: durable ones silently, others are counted."""
        oldest = now_ns - int(self.plan.memory * NS)
        gone = []
        for seq, entry in self.entries.items():
            if entry.taken_ns >= oldest:
                break
            gone.append(seq)
        lost = {seq for seq in gone if seq not in self.acked}
        for seq in gone:
            del self.entries[seq]
            self.acked.discard(seq)
            self.live.pop(seq, None)
            self.replay.pop(seq, None)
        self._lose(lost)

    def _lose(self, lost: set[int]) -> None:
        if lost:
            self.gone |= lost
            self.dropped += len(lost)
            self.note("dropped", count=len(lost))

    def lost_before(self, seq: int) -> int:
        """So many numbers right before this one will never come."""
        low = seq
        while low - 1 in self.gone:
            low -= 1
        return seq - low

    # --- a stream ---

    def entry(self, seq: int) -> Entry | None:
        """The batch of a number; one of the backlog is made when it is asked for."""
        if seq > self.plan.backlog:
            return self.entries.get(seq)
        age = self.plan.backlog - seq + 1
        return Entry(seq, self.start_ns - int(age * self.plan.step * NS), self._past(seq / self.plan.backlog))

    def _past(self, part: float) -> float:
        """Level in the backlog: high in its middle for a stale one, at its end for one that still burns."""
        burns = self.plan.first <= 0 and part >= 0.98
        return HIGH if burns or (self.plan.stale and 0.4 <= part < 0.5) else LOW

    def oldest(self) -> int:
        """First number it can still send."""
        held = next(iter(self.entries), self.next_seq)
        return min(held, self.waiting[0]) if self.waiting else held

    def welcome(self, resume: int, rewind_ns: int, credits_: int, now_ns: int) -> list[Entry]:
        """A new stream is accepted; the newest round to send live, if it is news. The rest waits for replay."""
        unacked = [seq for seq in sorted({*self.waiting, *self.live, *self.replay, *self._open()}) if seq >= resume]
        if rewind_ns > 0:
            again = [seq for seq, e in self.entries.items() if e.taken_ns >= rewind_ns]
            self.acked.difference_update(again)
            unacked = sorted({*unacked, *again})
        self.acked.update(seq for seq in self.entries if seq < resume and seq not in unacked)
        self.live.clear()
        self.replay.clear()
        self.waiting = deque(unacked)
        self.credits = credits_
        self.fresh_from = self.next_seq
        if not self.waiting:
            return []
        newest = self.entry(self.waiting[-1])
        if newest is None or now_ns - newest.taken_ns > (2 * self.interval + NEWS_GRACE) * NS:
            return []
        self.waiting.pop()
        return [newest]

    def _open(self) -> Iterable[int]:
        return (seq for seq in self.entries if seq not in self.acked)

    def may_send(self) -> bool:
        """Whether a new round goes out at once; else it waits for the replay lane."""
        return len(self.live) < MAX_LIVE_UNDER_WAY

    def replays(self) -> list[Entry]:
        """What the credits allow to send again now."""
        found: list[Entry] = []
        while self.waiting and len(self.replay) + len(found) < self.credits:
            entry = self.entry(self.waiting.popleft())
            if entry is not None:
                found.append(entry)
        return found

    def sent(self, seq: int, at: float, *, replay: bool) -> None:
        """A batch is under way."""
        (self.replay if replay else self.live)[seq] = at

    def ack(self, live: int, replay: int, credits_: int) -> tuple[list[float], int]:
        """Settle both lanes; when the live ones had been sent, and how many replayed ones are durable now."""
        self.credits = credits_
        done = [seq for seq in self.live if seq <= live]
        times = [self.live.pop(seq) for seq in done]
        again = [seq for seq in self.replay if seq <= replay]
        for seq in again:
            del self.replay[seq]
        self.acked.update(seq for seq in (*done, *again) if seq in self.entries)
        if done and max(done) >= max(self.edge, self.fresh_from):
            self._hold(max(done))
        return times, len(again)

    def _hold(self, seq: int) -> None:
        """A fresh batch of this side is durable."""
        entry = self.entries.get(seq)
        if not self.settled:
            self.settled, self.settled_ns = True, entry.taken_ns if entry else 0
            self.note("confirmed" if self.high else "cleared", seq=seq)
        self.held_ns = max(self.held_ns, entry.taken_ns - self.settled_ns if entry else 0)

    def refuse(self, seq: int, *, final: bool) -> None:
        """A batch was refused: for good, or it waits for the replay lane."""
        if seq not in self.live and seq not in self.replay:
            return
        self.live.pop(seq, None)
        self.replay.pop(seq, None)
        if final:
            self.entries.pop(seq, None)
            self._lose({seq})
        else:
            self.waiting = deque(sorted((*self.waiting, seq)))
