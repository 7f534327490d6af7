"""The chart's geometry: literal in, literal out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.chart import Series, draw, is_beyond, moments, scale

LINE = Series("", (0.0, 60.0, 120.0), (0.0, 5.0, 10.0))


def test_a_rising_line_is_bad_from_where_it_crosses() -> None:
    got = draw([LINE], threshold=5.0, comparison=">", mark=60.0)
    assert got is not None
    assert got.lines[0].path == "M0.0 150.0 L360.0 75.0 L720.0 0.0"
    assert got.lines[0].bad == "M360.0 75.0 L720.0 0.0"
    assert got.lines[0].area == "M360.0 75.0 L720.0 0.0 L720.0 75.0 L360.0 75.0Z"
    assert (got.limit, got.mark) == (75.0, 360.0)


def test_below_is_the_other_side() -> None:
    got = draw([LINE], threshold=5.0, comparison="<", mark=None)
    assert got is not None
    assert got.lines[0].bad == "M0.0 150.0 L360.0 75.0"


def test_a_gap_cuts_the_line() -> None:
    got = draw([Series("", (0.0, 1.0, 2.0, 3.0), (1.0, 2.0, None, 1.0))], threshold=None, comparison="", mark=None)
    assert got is not None
    assert got.lines[0].path == "M0.0 150.0 L240.0 0.0 M720.0 150.0h.1"


@pytest.mark.parametrize(
    "series", [[], [Series("", (), ())], [Series("", (1.0,), (1.0,))], [Series("", (0.0, 1.0), (math.nan, None))]]
)
def test_nothing_to_draw_is_no_chart(series: list[Series]) -> None:
    assert draw(series, threshold=1.0, comparison=">", mark=None) is None


def test_a_series_with_more_times_than_values_is_refused() -> None:
    with pytest.raises(ValueError, match="as many times as values"):
        Series("", (1.0,), ())


def test_round_numbers_span_the_values() -> None:
    assert scale(71, 99) == (70, 80, 90, 100)
    assert scale(0.0, 0.2) == (0.0, 0.05, 0.1, 0.15, 0.2)
    assert scale(5, 5) == (4.5, 4.75, 5.0, 5.25, 5.5)
    assert scale(0, 0) == (-1.0, -0.5, 0.0, 0.5, 1.0)


def test_round_moments_lie_inside() -> None:
    assert moments(1000.0, 4600.0) == (1200.0, 1800.0, 2400.0, 3000.0, 3600.0, 4200.0)
    assert moments(0.0, 10 * 86400.0)[:2] == (0.0, 86400.0)


@pytest.mark.parametrize(
    ("comparison", "beyond"),
    [(">", False), (">=", True), ("<", False), ("<=", True), ("==", True), ("!=", False), ("", False), ("~", False)],
)
def test_the_threshold_itself(comparison: str, beyond: bool) -> None:
    assert is_beyond(5.0, 5.0, comparison) is beyond


@given(
    st.lists(st.one_of(st.none(), st.floats(-1e12, 1e12)), max_size=40),
    st.one_of(st.none(), st.floats(-1e12, 1e12)),
    st.sampled_from([">", "<", ">=", "<=", "==", "!=", ""]),
)
def test_no_numbers_break_it(values: list[float | None], threshold: float | None, comparison: str) -> None:
    times = tuple(float(i) for i in range(len(values)))
    got = draw([Series("", times, tuple(values))], threshold=threshold, comparison=comparison, mark=1.0)
    assert got is None or "nan" not in repr(got)
