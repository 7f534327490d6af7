from collections.abc import Iterator

import pytest

from collector.ingest.spread import Spread


class Work:
    def __init__(self, steps: int) -> None:
        self.steps, self.begun, self.done = steps, list[float](), 0

    def begin(self, now: float) -> tuple[int, Iterator[None]]:
        self.begun.append(now)
        return self.steps, self._each()

    def _each(self) -> Iterator[None]:
        for _ in range(self.steps):
            self.done += 1
            yield


def test_the_work_of_a_minute_is_done_evenly_and_begins_anew() -> None:
    work = Work(120)
    spread = Spread(60.0, work.begin)
    done = []
    for second in range(122):
        spread.step(1000.0 + second)
        done.append(work.done)
    assert done[:4] == [0, 2, 4, 6]
    assert done[58:62] == [116, 118, 120, 122]
    assert done[121] == 242
    assert work.begun == [1000.0, 1060.0, 1120.0]


@pytest.mark.parametrize(("late", "done"), [(30.0, 5), (59.0, 9), (60.0, 10), (600.0, 10)])
def test_whoever_comes_late_does_what_is_due(late: float, done: int) -> None:
    work = Work(10)
    spread = Spread(60.0, work.begin)
    spread.step(0.0)
    spread.step(late)
    assert work.done == done


def test_a_step_that_fails_ends_the_round_and_not_the_work() -> None:
    rounds = list[int]()

    def begin(_now: float) -> tuple[int, Iterator[None]]:
        def steps() -> Iterator[None]:
            rounds.append(len(rounds))
            yield
            if rounds == [0]:
                raise ValueError("once")
            yield

        return 2, steps()

    spread = Spread(10.0, begin)
    spread.step(0.0)
    with pytest.raises(ValueError, match="once"):
        spread.step(9.9 + 0.1)
    spread.step(10.5)
    spread.step(20.5)
    assert rounds == [0, 1]
