"""The newest samples at many moments at once are those of each moment alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from collector.head import STALE, Head, Match, Matcher
from collector.head.demand import Want
from collector.labels import Labels

ALL = (Matcher("__name__", Match.REGEX, "x|y"),)
ONE = (Matcher("__name__", Match.EQUAL, "x"),)

# what a host does: (tick, host, values of x and y; None: the series has none, STALE in both: the host is silent)
DEEDS = some.lists(
    some.tuples(
        some.integers(0, 40),
        some.integers(0, 3),
        some.sampled_from([(1.0, 2.0), (3.0, None), (None, 4.0), (float("nan"), 5.0), "silent", "own"]),
    ),
    max_size=60,
)


def filled(deeds: list[tuple[int, int, object]], wants: tuple[Want, ...] | None) -> Head:
    head = Head(retention=400.0, max_samples=20)
    if wants is not None:
        head.demand(wants, rest=30.0)
    for host in range(3):
        head.register(f"{host}", b"s", [Labels.of(__name__=name, instance=f"h{host}") for name in "xy"])
    for tick, host, deed in sorted(deeds, key=lambda one: one[0]):
        at = 15.0 * tick + host
        if deed == "own" or host == 3:
            head.set([Labels.of(__name__="x", own="1")], [STALE if tick % 5 == 0 else float(tick)], at)
        elif deed == "silent":
            head.mark_stale(f"{host}", at)
        elif isinstance(deed, tuple):
            there = np.array([value is not None for value in deed])
            head.append(f"{host}", b"s", at, there, np.array([value or 0.0 for value in deed]))
    return head


@settings(max_examples=150, deadline=None)
@given(
    deeds=DEEDS,
    moments=some.sets(some.integers(-30, 700), min_size=2, max_size=12),
    lookback=some.sampled_from([5.0, 60.0, 300.0]),
    thin=some.booleans(),
)
def test_many_moments_are_each_moment_alone(
    deeds: list[tuple[int, int, object]], moments: set[int], lookback: float, thin: bool
) -> None:
    head = filled(deeds, (Want(ONE, 60.0),) if thin else None)
    ends = np.array(sorted(moments), np.float64)
    for question in (ALL, ONE):
        many = head.select(question, float(ends[0]) - lookback, float(ends[-1])).latest_at(ends, lookback)
        for number, end in enumerate(ends.tolist()):
            one = head.select(question, end - lookback, end).latest()
            assert many.present[number].tolist() == one.present.tolist()
            assert many.lost[number].tolist() == one.lost.tolist()
            there = one.present
            assert many.values[number][there] == pytest.approx(one.values[there], nan_ok=True)
            assert many.times[number][there].tolist() == one.times[there].tolist()


def test_an_empty_head_has_nothing_at_any_moment() -> None:
    found = Head().select(ONE, 0.0, 100.0).latest_at(np.array([10.0, 100.0]), 60.0)
    assert found.present.shape == (2, 0)
