from hypothesis import given
from hypothesis import strategies as st

from collector.ingest.clock import SteadyClock


class Hands:
    def __init__(self) -> None:
        self.wall, self.monotonic = 1_800_000_000.0, 5.0

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall, lambda: self.monotonic)

    def passes(self, seconds: float, step: float = 0.0) -> None:
        self.monotonic += seconds
        self.wall += seconds + step


def test_it_follows_the_wall_forward_at_once() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.passes(1.0, step=3600.0)
    assert clock() == 1_800_003_601.0


def test_a_wall_that_steps_back_slows_it_until_both_agree() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.passes(0.0, step=-10.0)
    assert clock() == 1_800_000_000.0
    hands.passes(4.0)
    assert clock() == 1_800_000_002.0
    for _ in range(40):
        hands.passes(1.0)
        clock()
    assert abs(clock() - hands.wall) <= 0.5


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-1e6, 1e6)), max_size=30))
def test_it_never_goes_back(moves: list[tuple[float, float]]) -> None:
    hands = Hands()
    clock = hands.clock()
    before = clock()
    for seconds, step in moves:
        hands.passes(seconds, step)
        assert clock() >= before
        before = clock()
