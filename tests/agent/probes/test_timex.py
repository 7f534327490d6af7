import sys

import pytest

from agent.probes import timex

FIELDS = dict.fromkeys(timex._USED, 0)


def shown(state: int = 0, **fields: int) -> dict[str, float]:
    reading = timex.Clock(state, FIELDS | fields)
    return {s.family.name.removeprefix("node_timex_"): s.value for s in timex.samples(reading)}


def test_an_offset_is_in_microseconds_unless_the_status_says_nanoseconds() -> None:
    assert shown(offset=250)["offset_seconds"] == pytest.approx(0.00025)
    assert shown(offset=250_000, status=0x2000)["offset_seconds"] == pytest.approx(0.00025)


def test_a_clock_in_the_error_state_is_not_in_time() -> None:
    assert [shown(state)["sync_status"] for state in (0, 1, 5)] == [1, 1, 0]


def test_a_frequency_is_in_parts_per_million_with_sixteen_bits_behind_the_point() -> None:
    assert shown(freq=65_536_000)["frequency_adjustment_ratio"] == pytest.approx(1.001)


@pytest.mark.skipif(sys.platform != "linux", reason="adjtimex is Linux")
def test_this_kernel_answers_without_a_right() -> None:
    clock = timex.adjtimex()
    assert 5_000 < clock.fields["tick"] < 20_000
