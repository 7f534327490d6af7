"""The *_over_time family, changes and resets: one number of each window."""

from collections.abc import Callable, Mapping

import numpy as np

from collector.promql import sums
from collector.promql.errors import EvaluationError
from collector.promql.quantiles import quantile_of_windows
from collector.promql.rates import Outcome, delta, idelta, increase, irate, rate
from collector.promql.regression import deriv
from collector.promql.rows import Floats, Mask
from collector.promql.spans import Span

Kernel = Callable[[Span], Outcome]


def quantile_over_time(span: Span, levels: Floats) -> Outcome:
    """The quantile of each window."""
    values = quantile_of_windows(levels, span.windows.values, span.windows.counts)
    return values, span.windows.counts > 0


def smoothed(span: Span, level: Floats, trend: Floats) -> Outcome:
    """Holt's linear smoothing of each window. Raises EvaluationError for a factor that is not between 0 and 1."""
    windows, some = span.windows, span.windows.counts > 0
    for name, factor in (("smoothing", level), ("trend", trend)):
        wrong = some & ~((factor > 0) & (factor < 1))
        if wrong.any():
            raise EvaluationError(f"invalid {name} factor {factor[wrong][0]:g}: it must be above 0 and below 1")
    values, valid = windows.values, windows.valid
    with np.errstate(all="ignore"):
        now, slope = values[:, 0].copy(), values[:, min(1, values.shape[1] - 1)] - values[:, 0]
        before = np.zeros(len(now))
        for column in range(1, values.shape[1]):
            if column > 1:
                slope = np.where(valid[:, column], trend * (now - before) + (1 - trend) * slope, slope)
            smooth = level * values[:, column] + (1 - level) * (now + slope)
            before = np.where(valid[:, column], now, before)
            now = np.where(valid[:, column], smooth, now)
    return now, windows.counts >= 2


def _each(measure: Callable[[Span], Floats]) -> Kernel:
    return lambda span: (measure(span), span.windows.counts > 0)


def _changes(span: Span) -> Floats:
    before, after = span.windows.values[:, :-1], span.windows.values[:, 1:]
    differ = (before != after) & ~(np.isnan(before) & np.isnan(after))
    return np.asarray(differ.sum(axis=1), np.float64)


def _resets(span: Span) -> Floats:
    values = span.windows.values
    return np.asarray((values[:, 1:] < values[:, :-1]).sum(axis=1), np.float64)


def _ones(span: Span) -> Floats:
    return np.ones(len(span.windows.counts))


def _deviation(span: Span) -> Floats:
    """The median distance from the median."""
    values, counts = span.windows.values, span.windows.counts
    half = np.full(len(counts), 0.5)
    with np.errstate(all="ignore"):
        distances = np.abs(values - quantile_of_windows(half, values, counts)[:, None])
    found = quantile_of_windows(half, distances, counts)
    return np.where(np.isnan(values).any(axis=1), np.nan, found)


def _time_of(span: Span, where: Mask) -> Floats:
    """Unix time of the last sample of each window where a mask is True."""
    width = where.shape[1]
    last = np.minimum(width - 1 - np.argmax(where[:, ::-1], axis=1), np.maximum(span.windows.counts - 1, 0))
    return np.asarray(np.repeat(span.ends, span.series) + span.windows.time_at(last), np.float64)


def _time_of_extreme(better: np.ufunc) -> Kernel:
    def measure(span: Span) -> Floats:
        values = span.windows.values
        best = better.reduce(values, axis=1)[:, None]
        return _time_of(span, (values == best) | (np.isnan(values) & np.isnan(best)))

    return _each(measure)


def _time_at(span: Span, column: int) -> Floats:
    where = np.zeros(span.windows.values.shape, np.bool_)
    where[:, column] = True
    return _time_of(span, where)


KERNELS: Mapping[str, Kernel] = {
    "rate": rate,
    "increase": increase,
    "delta": delta,
    "irate": irate,
    "idelta": idelta,
    "deriv": deriv,
    "changes": _each(_changes),
    "resets": _each(_resets),
    "avg_over_time": _each(lambda span: sums.mean(span.windows)),
    "sum_over_time": _each(lambda span: sums.total(span.windows)),
    "min_over_time": _each(lambda span: np.fmin.reduce(span.windows.values, axis=1)),
    "max_over_time": _each(lambda span: np.fmax.reduce(span.windows.values, axis=1)),
    "count_over_time": _each(lambda span: span.windows.counts.astype(np.float64)),
    "stddev_over_time": _each(lambda span: np.sqrt(sums.variance(span.windows))),
    "stdvar_over_time": _each(lambda span: sums.variance(span.windows)),
    "mad_over_time": _each(_deviation),
    "first_over_time": _each(lambda span: span.windows.values[:, 0].copy()),
    "last_over_time": _each(lambda span: span.windows.values[:, -1].copy()),
    "present_over_time": _each(_ones),
    "ts_of_min_over_time": _time_of_extreme(np.fmin),
    "ts_of_max_over_time": _time_of_extreme(np.fmax),
    "ts_of_first_over_time": _each(lambda span: _time_at(span, 0)),
    "ts_of_last_over_time": _each(lambda span: _time_at(span, -1)),
}
KEEP_NAME = frozenset({"first_over_time", "last_over_time"})
