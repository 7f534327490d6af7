"""How much of their past agents send at once: on every stream what is on its way stands before the present.

One window for all agents together. It grows while what was granted has arrived by the next look, and shrinks while it
has not; agents that have used up what they were granted share the room in it, those that wait longest first.
"""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

PERIOD = 0.25  # seconds between two looks
FIRST = 4  # batches an agent may send before anybody has looked
LEAST, MOST = 64, 8192  # batches of all agents on their way
SHARE = 2  # of one agent at least: an ack for each single batch would cost more than the batch
IDLE = 2.0  # seconds after which what was granted is not on its way: the agent has no more
_GROWTH, _SHRINKING = 1.25, 0.8

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Lane:
    """One agent's backlog: batches it may still send, and those that were taken and are not acknowledged."""

    ahead: int
    held: int


@dataclass(slots=True)
class Pacing(Generic[K]):
    """`most` batches of one agent may be unacknowledged. Owned by the event loop."""

    most: int
    window: float = 4 * LEAST
    _granted: dict[K, float] = field(default_factory=dict)  # agents with a backlog -> when they were granted last

    def took(self, agent: K) -> None:
        """A replayed batch of it came: there may be more."""
        self._granted.setdefault(agent, -math.inf)

    def left(self, agent: K) -> None:
        """Its stream is over."""
        self._granted.pop(agent, None)

    def look(
        self, now: float, lane_of: Callable[[K], Lane], *, queued: int = 0, part: Callable[[int], int] = int
    ) -> list[tuple[K, int]]:
        """Who may send how many more batches; `queued` arrived and are not taken yet, `part` is left of the window."""
        lanes = {agent: lane_of(agent) for agent in self._granted}
        for agent, lane in lanes.items():
            if lane.ahead > 0 and now - self._granted[agent] > IDLE:
                del self._granted[agent]
        under_way = queued + sum(max(0, lanes[agent].ahead) for agent in self._granted)
        asking = [a for a in self._granted if lanes[a].ahead <= 0 and lanes[a].held + SHARE <= self.most]
        asking.sort(key=self._granted.__getitem__)
        self._resize(under_way, asking=bool(asking))
        room = part(int(self.window)) - under_way
        found: list[tuple[K, int]] = []
        for place, agent in enumerate(asking):
            share = min(max(SHARE, room // (len(asking) - place)), self.most - lanes[agent].held)
            if room < share:
                break
            found.append((agent, share))
            self._granted[agent] = now
            room -= share
        return found

    def _resize(self, under_way: int, *, asking: bool) -> None:
        if under_way > self.window / 2:
            self.window = max(LEAST, self.window * _SHRINKING)
        elif asking and under_way < self.window / 4:
            self.window = min(MOST, self.window * _GROWTH)
