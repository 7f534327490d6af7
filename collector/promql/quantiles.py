"""Quantiles by linear interpolation between ranks, over groups of values and over windows; NaN is the smallest."""

import numpy as np
from numpy.typing import NDArray

from collector.promql.rows import Floats


def quantile_of_groups(level: float, ids: NDArray[np.intp], values: Floats, size: int) -> Floats:
    """The quantile of each group's values; NaN for a group without values."""
    order = np.lexsort((values, ~np.isnan(values), ids))
    counts = np.bincount(ids, minlength=size)
    starts = np.cumsum(counts) - counts
    ordered = np.append(values[order], np.nan)
    lower, upper, weight = _ranks(level, counts)
    return _outside(level, counts, _between(ordered[starts + lower], ordered[starts + upper], weight))


def quantile_of_windows(level: float, values: Floats, counts: NDArray[np.intp]) -> Floats:
    """The quantile of `values[row, :counts[row]]` for every row."""
    padded = np.where(np.arange(values.shape[1]) < counts[:, None], values, np.inf)
    missing = np.isnan(padded)
    ordered = np.sort(np.where(missing, -np.inf, padded), axis=1)
    ordered[np.arange(values.shape[1]) < missing.sum(axis=1)[:, None]] = np.nan
    lower, upper, weight = _ranks(level, counts)
    rows = np.arange(len(counts))
    return _outside(level, counts, _between(ordered[rows, lower], ordered[rows, upper], weight))


def _ranks(level: float, counts: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    bounded = min(1.0, max(0.0, level)) if level == level else 0.0  # noqa: PLR0124  # NaN is not itself
    rank = bounded * np.maximum(counts - 1, 0)
    lower = np.floor(rank).astype(np.intp)
    upper = np.minimum(np.maximum(counts - 1, 0), lower + 1)
    return lower, upper, rank - lower


def _between(lower: Floats, upper: Floats, weight: Floats) -> Floats:
    with np.errstate(all="ignore"):
        return np.asarray(lower * (1.0 - weight) + upper * weight)


def _outside(level: float, counts: NDArray[np.intp], values: Floats) -> Floats:
    """Levels below 0 and above 1 give infinities, NaN gives NaN."""
    if level < 0:
        values = np.full(len(values), -np.inf)
    elif level > 1:
        values = np.full(len(values), np.inf)
    elif level != level:  # noqa: PLR0124  # NaN is not itself
        values = np.full(len(values), np.nan)
    return np.where(counts > 0, values, np.nan)
