"""Sums over windows with compensation for rounding (Neumaier), column by column over all series at once."""

import numpy as np

from collector.head import Windows
from collector.promql.rows import Floats

_SHRINK = 2.0**-64


def total(windows: Windows) -> Floats:
    """The sum of each window."""
    return _compensated(np.where(windows.valid, windows.values, 0.0))


def mean(windows: Windows) -> Floats:
    """The mean of each window; it does not overflow where the values do not."""
    counts = np.maximum(windows.counts, 1)
    values = np.where(windows.valid, windows.values, 0.0)
    sums = _compensated(values)
    overflown = np.isinf(sums) & np.isfinite(values).all(axis=1)
    if overflown.any():
        with np.errstate(all="ignore"):
            small = _compensated(values * _SHRINK) / counts / _SHRINK
        return np.where(overflown, small, sums / counts)
    return sums / counts


def variance(windows: Windows) -> Floats:
    """The population variance of each window."""
    with np.errstate(all="ignore"):
        squares = np.where(windows.valid, (windows.values - mean(windows)[:, None]) ** 2, 0.0)
        return _compensated(squares) / np.maximum(windows.counts, 1)


def _compensated(values: Floats) -> Floats:
    columns = np.ascontiguousarray(values.T)
    result, carry = np.zeros(len(values)), np.zeros(len(values))
    with np.errstate(all="ignore"):
        for column in columns:
            grown = result + column
            larger = np.abs(result) >= np.abs(column)
            carry += np.where(larger, (result - grown) + column, (column - grown) + result)
            result = grown
        return np.where(np.isfinite(result), result + carry, result)
