"""Calendar functions over Unix seconds, UTC; a value no calendar has gives NaN."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from collector.promql.rows import Floats

_LIMIT = 1e14  # seconds; beyond it the calendar's arithmetic would overflow
Seconds = NDArray[np.int64]


def date_part(name: str, values: Floats) -> Floats:
    """One part of the date each value stands for."""
    good = np.abs(values) < _LIMIT
    seconds = np.where(good, values, 0.0).astype(np.int64)
    return np.where(good, _PARTS[name](seconds).astype(np.float64), np.nan)


def _days(seconds: Seconds) -> Seconds:
    return seconds // 86400


def _start(seconds: Seconds, unit: str) -> Seconds:
    """Days from 1970 to the beginning of the month (M) or year (Y)."""
    days = _days(seconds).astype("datetime64[D]")
    return days.astype(f"datetime64[{unit}]").astype("datetime64[D]").astype(np.int64)


def _months(seconds: Seconds) -> Seconds:
    return _days(seconds).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _days_in_month(seconds: Seconds) -> Seconds:
    after = (_months(seconds) + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return after - _start(seconds, "M")


_PARTS: Mapping[str, Callable[[Seconds], Seconds]] = {
    "minute": lambda s: s // 60 % 60,
    "hour": lambda s: s // 3600 % 24,
    "day_of_week": lambda s: (_days(s) + 4) % 7,
    "day_of_month": lambda s: _days(s) - _start(s, "M") + 1,
    "day_of_year": lambda s: _days(s) - _start(s, "Y") + 1,
    "days_in_month": _days_in_month,
    "month": lambda s: _months(s) % 12 + 1,
    "year": lambda s: _months(s) // 12 + 1970,
}
DATE_PARTS = frozenset(_PARTS)
