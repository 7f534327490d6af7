from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.ingest.overload import Level, Overload
from collector.ingest.pacing import IDLE, LEAST, MOST, PERIOD, SHARE, Lane, Pacing


@dataclass
class Fleet:
    """Agents with a backlog each, and a collector that takes `rate` batches between two looks and acks none."""

    backlog: dict[str, int]
    rate: int
    most: int = 10**9
    ahead: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    queue: deque[str] = field(default_factory=deque)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.pacing: Pacing[str] = Pacing(self.most)
        for name in self.backlog:
            self.ahead[name], self.held[name] = 0, 0
            self.pacing.took(name)

    def look(self, queued: int = 0, level: Level = Level.CALM) -> list[tuple[str, int]]:
        self.now += PERIOD
        found = self.pacing.look(self.now, self.lane, queued=queued, part=Overload(level).credits)
        for name, batches in found:
            self.ahead[name] = batches
            self.queue.append(name)
        return found

    def lane(self, name: str) -> Lane:
        return Lane(self.ahead[name], self.held[name])

    def take(self) -> int:
        """What arrives until the next look, in the order it was granted; how many."""
        left = self.rate
        while left > 0 and self.queue:
            name = self.queue[0]
            came = min(left, self.ahead[name], self.backlog[name])
            self.ahead[name], self.backlog[name] = self.ahead[name] - came, self.backlog[name] - came
            self.held[name], left = self.held[name] + came, left - came
            if left > 0 or not self.ahead[name]:
                self.queue.popleft()
        return self.rate - left

    @property
    def under_way(self) -> int:
        return sum(min(self.ahead[name], self.backlog[name]) for name in self.backlog)


@pytest.mark.parametrize("agents", [1, 7, 200, 3000])
@pytest.mark.parametrize("rate", [40, 500, 1500])
def test_i14_what_is_under_way_fits_what_is_taken_and_nothing_is_idle(agents: int, rate: int) -> None:
    fleet = Fleet({str(n): 10**6 for n in range(agents)}, rate)
    taken = []
    for _ in range(200):
        fleet.look()
        taken.append(fleet.take())
    assert fleet.under_way <= max(2 * LEAST, 3 * rate)
    assert sum(taken[100:]) >= 0.6 * 100 * rate


def test_agents_share_the_room_and_those_that_wait_longest_come_first() -> None:
    fleet = Fleet({str(n): 1000 for n in range(600)}, rate=10**6)
    for _ in range(12):
        fleet.look()
        fleet.take()
    assert min(fleet.held.values()) > 0
    assert max(fleet.held.values()) <= 2 * min(fleet.held.values()) + SHARE


def test_who_has_no_more_takes_no_room() -> None:
    fleet = Fleet({"over": 0, "long": 10**6}, rate=50)
    fleet.look()
    assert fleet.ahead["over"] > 0
    for _ in range(int(IDLE / PERIOD) + 2):
        fleet.take()
        fleet.look()
    fleet.pacing.window = 100.0
    fleet.ahead["long"] = 0
    assert fleet.look() == [("long", 125)]


def test_no_more_than_the_bound_is_held_of_one_agent() -> None:
    fleet = Fleet({"one": 10**6}, rate=10**6, most=256)
    for _ in range(50):
        fleet.look()
        fleet.take()
    assert 256 - SHARE < fleet.held["one"] <= 256


def test_what_waits_for_the_engine_counts_as_under_way() -> None:
    fleet = Fleet({"one": 10**6}, rate=10**6)
    assert fleet.look(queued=10**5) == []
    assert fleet.look()


@pytest.mark.parametrize(("level", "part"), [(Level.SLOW, 0.25), (Level.NO_REPLAY, 0.0), (Level.REFUSING, 0.0)])
def test_backlogs_give_way_first(level: Level, part: float) -> None:
    fleet = Fleet({"one": 10**6}, rate=10**6)
    granted = sum(batches for _, batches in fleet.look(level=level))
    assert granted == int(part * int(fleet.pacing.window))


def test_a_stream_that_is_over_is_granted_nothing() -> None:
    fleet = Fleet({"one": 10}, rate=1)
    fleet.pacing.left("one")
    assert fleet.look() == []


@given(rates=st.lists(st.integers(0, 5000), min_size=1, max_size=60), agents=st.integers(1, 50))
@settings(deadline=None)
def test_i14_the_window_keeps_its_bounds_whatever_the_pace(rates: list[int], agents: int) -> None:
    fleet = Fleet({str(n): 10**6 for n in range(agents)}, rate=0)
    for fleet.rate in rates:
        fleet.look()
        assert LEAST <= fleet.pacing.window <= MOST
        assert fleet.under_way <= MOST
        fleet.take()
