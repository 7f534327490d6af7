"""The *_over_time family, changes and resets: one number of each series' window."""

from collections.abc import Callable, Mapping

import numpy as np

from collector.promql import sums
from collector.promql.quantiles import quantile_of_windows
from collector.promql.rates import Outcome, delta, idelta, increase, irate, rate
from collector.promql.regression import deriv
from collector.promql.rows import Floats
from collector.promql.selectors import Span

Kernel = Callable[[Span], Outcome]


def quantile_over_time(span: Span, level: float) -> Outcome:
    """The quantile of each window."""
    values = quantile_of_windows(level, span.windows.values, span.windows.counts)
    return values, span.windows.counts > 0


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
    "first_over_time": _each(lambda span: span.windows.values[:, 0].copy()),
    "last_over_time": _each(lambda span: span.windows.values[:, -1].copy()),
    "present_over_time": _each(_ones),
}
KEEP_NAME = frozenset({"first_over_time", "last_over_time"})
