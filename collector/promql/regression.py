"""deriv and predict_linear: least squares over each window."""

import numpy as np

from collector.promql.rates import Outcome
from collector.promql.rows import Floats
from collector.promql.selectors import Span


def deriv(span: Span) -> Outcome:
    """Slope per second."""
    slope, _, _ = _fit(span)
    return slope, span.windows.counts >= 2


def predict_linear(span: Span, at: float, seconds: float) -> Outcome:
    """The fitted value this many seconds after the evaluation's time."""
    slope, height, middle = _fit(span)
    with np.errstate(all="ignore"):
        return height + slope * (at + seconds - middle), span.windows.counts >= 2


def _fit(span: Span) -> tuple[Floats, Floats, Floats]:
    """Slope, mean value and mean time. Equal values have no slope; equal infinities have no line."""
    windows = span.windows
    valid, counts = windows.valid, np.maximum(windows.counts, 1)
    times = np.where(valid, windows.times - span.end, 0.0)
    values = np.where(valid, windows.values, 0.0)
    with np.errstate(all="ignore"):
        middle, height = times.sum(axis=1) / counts, values.sum(axis=1) / counts
        apart = np.where(valid, times - middle[:, None], 0.0)
        slope = (apart * np.where(valid, values - height[:, None], 0.0)).sum(axis=1) / (apart**2).sum(axis=1)
        first = windows.values[:, 0]
        level = (windows.values == first[:, None]).all(axis=1)
    slope = np.where(level, np.where(np.isinf(first), np.nan, 0.0), slope)
    return slope, np.where(level, np.where(np.isinf(first), np.nan, first), height), middle + span.end
