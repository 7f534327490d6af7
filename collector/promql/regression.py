"""deriv and predict_linear: least squares over each window."""

import numpy as np

from collector.head import Windows
from collector.promql.rates import Outcome
from collector.promql.rows import Floats
from collector.promql.spans import Span


def deriv(span: Span) -> Outcome:
    """Slope per second."""
    slope, _, _ = _fit(span)
    return slope, span.windows.counts >= 2


def predict_linear(span: Span, ahead: Floats) -> Outcome:
    """The fitted value this many seconds after each window's end."""
    slope, height, middle = _fit(span)
    with np.errstate(all="ignore"):
        return height + slope * (ahead - middle), span.windows.counts >= 2


def _fit(span: Span) -> tuple[Floats, Floats, Floats]:
    """Slope, mean value and mean time. Equal values have no slope; equal infinities have no line."""
    windows = span.windows
    first = windows.values[:, 0]
    weights, middle = map(windows.each, windows.once("weights", lambda: _weights(windows)))
    with np.errstate(all="ignore"):
        rises = windows.values - first[:, None]
        slope = np.einsum("ij,ij->i", weights, rises)
        slope = np.where(np.isfinite(slope), slope, np.nan)  # an infinite value has no line through it
        level = ~rises.any(axis=1) | (windows.values == first[:, None]).all(axis=1)
        if not windows.full:
            rises = np.where(windows.valid, rises, 0.0)
        height = first + rises.sum(axis=1) / np.maximum(windows.counts, 1)
    constant = np.where(np.isinf(first), np.nan, first)
    return np.where(level, constant - constant, slope), np.where(level, constant, height), middle


def _weights(windows: Windows) -> tuple[Floats, Floats]:
    """What each sample adds to the slope, and the mean time; computed once per row of times."""
    counts = windows.time_counts
    valid = np.arange(windows.time_rows.shape[1]) < counts[:, None]
    times = np.where(valid, windows.time_rows, 0.0)
    with np.errstate(all="ignore"):
        middle = times.sum(axis=1) / np.maximum(counts, 1)
        apart = np.where(valid, times - middle[:, None], 0.0)
        weights = apart / (apart**2).sum(axis=1)[:, None]
    return weights, middle
