"""What gives way when too much comes in: backlogs first, then the interval, then the largest senders. Pure.

Heartbeats never do. Fed once a second with what the engine measures.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

CALM_SECONDS = 30.0  # below half of what led to a level, before it is left
BETWEEN = 5.0  # seconds between two steps up: the last one must be given time to help
LAG = 10.0  # seconds from a batch's arrival to its ack that mean as much as a full inbox
WIDER = 4.0
SHARE = 0.1  # of the senders, the largest, are refused
PAUSE_MS = 15_000


class Level(IntEnum):
    """Each includes those below it."""

    CALM = 0
    SLOW = 1  # a quarter of the replay credits
    NO_REPLAY = 2
    WIDE = 3  # rounds less often
    REFUSING = 4


RISE = {Level.SLOW: 0.1, Level.NO_REPLAY: 0.25, Level.WIDE: 0.5, Level.REFUSING: 0.8}  # pressure that leads there


@dataclass(frozen=True, slots=True)
class Load:
    """What the engine has before it: work in its inbox, of how much at most, and its oldest batch's age in seconds."""

    inbox: int
    most: int
    lag: float

    @property
    def pressure(self) -> float:
        """1 is the end."""
        return max(self.inbox / self.most, self.lag / LAG)


@dataclass(frozen=True, slots=True)
class Overload:
    """Where we stand. Unix seconds."""

    level: Level = Level.CALM
    changed_at: float = -math.inf
    calm_since: float | None = None

    def credits(self, usual: int) -> int:
        """Replay batches an agent may have under way."""
        return usual if self.level is Level.CALM else usual // 4 if self.level is Level.SLOW else 0

    def interval(self, usual: float) -> float:
        """Seconds between two rounds."""
        return usual * WIDER if self.level >= Level.WIDE else usual


def step(before: Overload, load: Load, at: float) -> Overload:
    """One level up at a time while the pressure asks for it, one down after a calm."""
    higher = Level(min(before.level + 1, Level.REFUSING))
    if higher > before.level and load.pressure >= RISE[higher]:
        if at - before.changed_at < BETWEEN:
            return replace(before, calm_since=None)
        return Overload(higher, at)
    if before.level is Level.CALM:
        return before
    if load.pressure >= RISE[before.level] / 2:
        return replace(before, calm_since=None)
    since = at if before.calm_since is None else before.calm_since
    if at - since < CALM_SECONDS:
        return replace(before, calm_since=since)
    return Overload(Level(before.level - 1), at)


def largest(sent: Mapping[str, int]) -> frozenset[str]:
    """Whom to refuse: the tenth of the senders with the most bytes, at least one; nobody who sends like the others."""
    if not sent:
        return frozenset()
    ordered = sorted(sent, key=lambda name: (-sent[name], name))
    usual = sorted(sent.values())[len(sent) // 2]
    most = max(1, int(len(ordered) * SHARE))
    return frozenset(name for name in ordered[:most] if sent[name] > 2 * usual or len(sent) <= 2)
