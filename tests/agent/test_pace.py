import threading

import pytest

from agent.pace import Pace, next_due


@pytest.mark.parametrize(
    ("now", "due"),
    [(100.0, 115.0), (104.0, 115.0), (114.9, 115.0), (115.0, 130.0), (131.0, 145.0), (28_904.0, 28_915.0)],
)
def test_the_next_round_is_on_the_grid_and_what_was_missed_stays_missed(now: float, due: float) -> None:
    assert next_due(100.0, now, 15.0) == due


def test_a_due_moment_comes_at_once() -> None:
    times = iter([0.0, 1.0, 100.0])
    Pace(15.0, lambda: next(times)).wait()


def test_a_shorter_interval_ends_the_wait() -> None:
    pace = Pace(3600.0)
    waiting = threading.Thread(target=pace.wait)
    waiting.start()
    pace.set(0.01)
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_hurried_round_comes_at_once() -> None:
    pace = Pace(3600.0)
    pace.hurry()
    pace.wait()


def test_the_end_wakes_who_waits() -> None:
    pace = Pace(3600.0)
    waiting = threading.Thread(target=pace.wait)
    waiting.start()
    pace.end()
    waiting.join(10)
    assert not waiting.is_alive()
    assert pace.over


def test_rounds_after_sleep_come_once_and_then_on_the_grid() -> None:
    now = [0.0]
    pace = Pace(10.0, lambda: now[0])
    now[0] = 10.0
    began = iter([0.0])
    pace._clock = lambda: next(began, 28_803.0)
    pace.wait()
    assert next_due(pace._base, 28_803.0, 10.0) == 28_810.0
