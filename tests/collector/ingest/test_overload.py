import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.ingest.overload import Level, Load, Overload, largest, step

NOW = 1_800_000_000.0


def loaded(pressure: float) -> Load:
    return Load(int(pressure * 1000), 1000, 0.0)


@pytest.mark.parametrize(
    ("level", "pressure", "after"),
    [
        (Level.CALM, 0.05, Level.CALM),
        (Level.CALM, 0.1, Level.SLOW),
        (Level.CALM, 5.0, Level.SLOW),
        (Level.SLOW, 0.2, Level.SLOW),
        (Level.SLOW, 0.25, Level.NO_REPLAY),
        (Level.NO_REPLAY, 0.4, Level.NO_REPLAY),
        (Level.NO_REPLAY, 0.5, Level.WIDE),
        (Level.WIDE, 0.7, Level.WIDE),
        (Level.WIDE, 0.8, Level.REFUSING),
        (Level.REFUSING, 9.0, Level.REFUSING),
    ],
)
def test_pressure_leads_up_one_level_at_a_time(level: Level, pressure: float, after: Level) -> None:
    assert step(Overload(level), loaded(pressure), NOW).level is after


@pytest.mark.parametrize(
    ("level", "granted", "interval"),
    [
        (Level.CALM, 256, 15.0),
        (Level.SLOW, 64, 15.0),
        (Level.NO_REPLAY, 0, 15.0),
        (Level.WIDE, 0, 60.0),
        (Level.REFUSING, 0, 60.0),
    ],
)
def test_backlogs_give_way_before_the_interval(level: Level, granted: int, interval: float) -> None:
    now = Overload(level)
    assert (now.credits(256), now.interval(15.0)) == (granted, interval)


def test_a_late_ack_presses_as_a_full_inbox_does() -> None:
    assert Load(0, 1000, 10.0).pressure == 1.0


def test_a_step_is_given_time_to_help() -> None:
    up = step(Overload(), loaded(1.0), NOW)
    assert step(up, loaded(1.0), NOW + 4.9).level is Level.SLOW
    assert step(up, loaded(1.0), NOW + 5.0).level is Level.NO_REPLAY


def test_a_level_is_left_after_half_a_minute_of_calm_and_no_sooner() -> None:
    state = Overload(Level.NO_REPLAY, NOW - 100)
    for second in range(30):
        state = step(state, loaded(0.05), NOW + second)
        assert state.level is Level.NO_REPLAY
    assert step(state, loaded(0.05), NOW + 30).level is Level.SLOW


def test_a_moment_of_pressure_ends_the_calm() -> None:
    state = step(Overload(Level.SLOW, NOW - 100), loaded(0.0), NOW)
    state = step(state, loaded(0.06), NOW + 20)
    assert step(state, loaded(0.0), NOW + 31).level is Level.SLOW


@given(pressures=st.lists(st.floats(0, 10), max_size=200))
def test_no_load_skips_a_level(pressures: list[float]) -> None:
    state = Overload()
    for second, pressure in enumerate(pressures):
        after = step(state, loaded(pressure), NOW + second)
        assert abs(after.level - state.level) <= 1
        state = after


@pytest.mark.parametrize(
    ("sent", "refused"),
    [
        ({}, set()),
        ({"a": 5}, {"a"}),
        ({"a": 5, "b": 5, "c": 5}, set()),
        ({"a": 50, "b": 5, "c": 5}, {"a"}),
        ({str(n): 100 if n < 3 else 1 for n in range(30)}, {"0", "1", "2"}),
        ({str(n): 100 if n < 5 else 1 for n in range(30)}, {"0", "1", "2"}),
    ],
)
def test_the_largest_senders_are_refused_and_nobody_who_sends_like_the_others(
    sent: dict[str, int], refused: set[str]
) -> None:
    assert largest(sent) == refused
