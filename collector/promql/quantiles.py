"""Quantiles by linear interpolation between ranks, over groups of values and over windows; NaN is the smallest."""

import numpy as np

from collector.promql.rows import Floats, Index


def quantile_of_groups(levels: Floats, ids: Index, values: Floats) -> Floats:
    """The quantile of each group's values, one level per group; NaN for a group without values."""
    order = np.lexsort((values, ~np.isnan(values), ids))
    counts = np.bincount(ids, minlength=len(levels))
    starts = np.cumsum(counts) - counts
    ordered = np.append(values[order], np.nan)
    lower, upper, weight = _ranks(levels, counts)
    return _outside(levels, counts, _between(ordered[starts + lower], ordered[starts + upper], weight))


def quantile_of_windows(levels: Floats, values: Floats, counts: Index) -> Floats:
    """The quantile of `values[row, :counts[row]]` for every row, one level per row."""
    padded = np.where(np.arange(values.shape[1]) < counts[:, None], values, np.inf)
    missing = np.isnan(padded)
    ordered = np.sort(np.where(missing, -np.inf, padded), axis=1)
    ordered[np.arange(values.shape[1]) < missing.sum(axis=1)[:, None]] = np.nan
    lower, upper, weight = _ranks(levels, counts)
    rows = np.arange(len(counts))
    return _outside(levels, counts, _between(ordered[rows, lower], ordered[rows, upper], weight))


def _ranks(levels: Floats, counts: Index) -> tuple[Index, Index, Floats]:
    bounded = np.where(np.isnan(levels), 0.0, np.clip(levels, 0.0, 1.0))
    rank = bounded * np.maximum(counts - 1, 0)
    lower = np.floor(rank).astype(np.intp)
    upper = np.minimum(np.maximum(counts - 1, 0), lower + 1)
    return lower, upper, rank - lower


def _between(lower: Floats, upper: Floats, weight: Floats) -> Floats:
    with np.errstate(all="ignore"):
        return np.asarray(lower * (1.0 - weight) + upper * weight)


def _outside(levels: Floats, counts: Index, values: Floats) -> Floats:
    """Levels below 0 and above 1 give infinities, NaN gives NaN."""
    values = np.where(levels < 0, -np.inf, np.where(levels > 1, np.inf, values))
    return np.where((counts > 0) & ~np.isnan(levels), values, np.nan)
