"""rate, increase, delta and their instant forms: counter resets and Prometheus' extrapolation to the window's edges."""

import numpy as np

from collector.head import Windows
from collector.promql.rows import Floats, Mask
from collector.promql.spans import Span

Outcome = tuple[Floats, Mask]
_NEAR_ZERO = 2.0  # a counter that begins higher than its change this often was at zero long before the window


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
    edges = span.edges
    first, change = windows.values[:, 0], _change(windows.values, counter=counter)
    with np.errstate(all="ignore"):
        if counter and bool(((change > 0) & (first >= 0) & (first < _NEAR_ZERO * change)).any()):
            sampled, before, after = windows.each(edges.sampled), windows.each(edges.before), windows.each(edges.after)
            before = np.minimum(before, _to_zero(first, change, sampled))
            return change * ((sampled + before + after) / sampled), windows.counts >= 2
        factor = (edges.sampled + edges.before + edges.after) / edges.sampled
        return change * windows.each(factor), windows.counts >= 2


def _change(values: Floats, *, counter: bool) -> Floats:
    """Last minus first; padding repeats the last value, so it changes nothing."""
    change = values[:, -1] - values[:, 0]
    if counter:
        falls = _falls(values)
        if falls.any():
            change = change + np.where(falls, values, 0.0).sum(axis=1)
    return np.asarray(change)


def _falls(values: Floats) -> Mask:
    """Which samples are higher than the next; all rows in one line, for that is much faster than row by row."""
    falls = np.empty(values.shape, np.bool_)
    line = np.ascontiguousarray(values).reshape(-1)
    np.less(line[1:], line[:-1], out=falls.reshape(-1)[:-1])
    falls[:, -1] = False
    return falls


def _to_zero(first: Floats, change: Floats, sampled: Floats) -> Floats:
    """How long ago a counter growing like this was at zero; infinitely long where that says nothing."""
    return np.where((change > 0) & (first >= 0), sampled * (first / change), np.inf)
