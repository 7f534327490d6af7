"""rate, increase, delta and their instant forms: counter resets and Prometheus' extrapolation to the window's edges."""

import numpy as np

from collector.head import Windows
from collector.promql.rows import Floats, Mask
from collector.promql.spans import Span

Outcome = tuple[Floats, Mask]
_GAP = 1.1  # a window's edge this many average intervals away is not reached by extrapolation


def rate(span: Span) -> Outcome:
    """Per-second increase of a counter."""
    values, some = increase(span)
    return values / span.seconds, some


def increase(span: Span) -> Outcome:
    """Increase of a counter over the window; a fall is a reset to zero."""
    return _extrapolated(span, counter=True)


def delta(span: Span) -> Outcome:
    """Difference of a gauge over the window."""
    return _extrapolated(span, counter=False)


def irate(span: Span) -> Outcome:
    """Per-second increase between the last two samples of a counter."""
    before, last, seconds, some = _last_two(span.windows)
    with np.errstate(all="ignore"):
        return np.where(last < before, last, last - before) / seconds, some


def idelta(span: Span) -> Outcome:
    """Difference of the last two samples of a gauge."""
    before, last, _, some = _last_two(span.windows)
    with np.errstate(all="ignore"):
        return last - before, some


def _last_two(windows: Windows) -> tuple[Floats, Floats, Floats, Mask]:
    rows, last = np.arange(len(windows.counts)), np.maximum(windows.counts - 1, 0)
    before = np.maximum(last - 1, 0)
    seconds = windows.time_at(last) - windows.time_at(before)
    some = (windows.counts >= 2) & (seconds > 0)
    return windows.values[rows, before], windows.values[rows, last], seconds, some


def _extrapolated(span: Span, *, counter: bool) -> Outcome:
    windows = span.windows
    some = windows.counts >= 2
    last = np.maximum(windows.counts - 1, 0)
    first_at, last_at = windows.time_at(0), windows.time_at(last)
    with np.errstate(all="ignore"):
        change = _change(windows.values, counter=counter)
        sampled = last_at - first_at
        interval = sampled / last
        before = _edge(first_at + span.seconds, interval)
        if counter:
            before = np.minimum(before, _to_zero(windows.values[:, 0], change, sampled))
        after = _edge(-last_at, interval)
        return change * ((sampled + before + after) / sampled), some


def _change(values: Floats, *, counter: bool) -> Floats:
    """Last minus first; padding repeats the last value, so it changes nothing."""
    change = values[:, -1] - values[:, 0]
    if counter:
        earlier, later = values[:, :-1], values[:, 1:]
        falls = later < earlier
        if falls.any():
            change = change + np.where(falls, earlier, 0.0).sum(axis=1)
    return np.asarray(change)


def _edge(distance: Floats, interval: Floats) -> Floats:
    """How far to extrapolate towards an edge of the window."""
    return np.where(distance >= interval * _GAP, interval / 2.0, distance)


def _to_zero(first: Floats, change: Floats, sampled: Floats) -> Floats:
    """How long ago a counter growing like this was at zero; infinitely long where that says nothing."""
    return np.where((change > 0) & (first >= 0), sampled * (first / change), np.inf)
