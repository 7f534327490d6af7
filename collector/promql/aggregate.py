"""Aggregations over groups of rows. Groupings hang on the frame; a group's rows that are not in the vector are masked.

A group is known when one of its rows is and none is lost: a missing part could have been the one that mattered.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from collector.head import Frame
from collector.head.frame import Groups
from collector.labels import NAME
from collector.promql.nodes import Aggregate
from collector.promql.quantiles import quantile_of_groups
from collector.promql.rows import Floats, Mask, Rows

Reduce = Callable[[Rows, Groups, float], Floats]


def aggregate(node: Aggregate, rows: Rows, parameter: float) -> Rows:
    """One row per group; topk and bottomk keep the rows they choose."""
    groups = grouping(node, rows.frame)
    if node.operator in _CHOICES:
        return _choose(rows, groups, parameter, largest=node.operator == "topk")
    values = _REDUCTIONS[node.operator](rows, groups, parameter)
    present, lost = _any(groups, rows.present), _any(groups, rows.lost)
    known = _any(groups, rows.known) & ~lost & ~(present & np.isnan(values))
    return Rows(_result_frame(node, rows.frame, groups), values, present, known, lost)


def grouping(node: Aggregate, frame: Frame) -> Groups:
    """Groups of a frame's rows under by or without."""
    return frame.groups(_names(node, frame))


def _names(node: Aggregate, frame: Frame) -> frozenset[str]:
    if node.without:
        return frozenset(frame.columns) - {*node.labels, NAME}
    return frozenset(node.labels).intersection(frame.columns)


def _result_frame(node: Aggregate, frame: Frame, groups: Groups) -> Frame:
    names = _names(node, frame)
    return frame.memo(("aggregate", names), lambda: frame.keep(names).take(groups.first))


def _any(groups: Groups, mask: Mask) -> Mask:
    found = np.zeros(groups.size, np.bool_)
    found[groups.ids[mask]] = True
    return found


def _count(rows: Rows, groups: Groups, _: float = 0.0) -> Floats:
    return np.bincount(groups.ids[rows.present], minlength=groups.size).astype(np.float64)


def _sum(rows: Rows, groups: Groups, _: float = 0.0) -> Floats:
    values = np.where(rows.present, rows.values, 0.0)
    with np.errstate(all="ignore"):
        total = np.bincount(groups.ids, weights=values, minlength=groups.size)
        size = np.bincount(groups.ids, weights=np.abs(values), minlength=groups.size)
        cancelled = size > 1e4 * np.abs(total)
    if bool(cancelled.any()):
        return np.where(cancelled, _careful_sum(values, groups), total)
    return np.asarray(total, np.float64)


def _careful_sum(values: Floats, groups: Groups) -> Floats:
    """Sums where large terms cancel, in extended precision."""
    total = np.zeros(groups.size, np.longdouble)
    with np.errstate(all="ignore"):
        np.add.at(total, groups.ids, values.astype(np.longdouble))
        return total.astype(np.float64)


def _avg(rows: Rows, groups: Groups, _: float = 0.0) -> Floats:
    with np.errstate(all="ignore"):
        mean = _sum(rows, groups) / _count(rows, groups)
        if not np.isinf(mean).any():
            return mean
        # A sum may overflow where the mean does not.
        shrunk = np.where(rows.present, rows.values, 0.0) * 2.0**-64
        smaller = np.bincount(groups.ids, weights=shrunk, minlength=groups.size) / _count(rows, groups)
        return np.asarray(np.where(np.isinf(mean), smaller * 2.0**64, mean), np.float64)


def _extreme(rows: Rows, groups: Groups, better: np.ufunc) -> Floats:
    """Smallest or largest of each group; NaN only where there is nothing else."""
    extreme = np.full(groups.size, np.nan)
    better.at(extreme, groups.ids[rows.present], rows.values[rows.present])
    return extreme


def _stdvar(rows: Rows, groups: Groups, _: float = 0.0) -> Floats:
    mean = _avg(rows, groups)
    with np.errstate(all="ignore"):
        squares = np.where(rows.present, (rows.values - mean[groups.ids]) ** 2, 0.0)
        return np.bincount(groups.ids, weights=squares, minlength=groups.size) / _count(rows, groups)


def _quantile(rows: Rows, groups: Groups, level: float) -> Floats:
    ids, values = groups.ids[rows.present], rows.values[rows.present]
    return quantile_of_groups(level, ids, values, groups.size)


def _choose(rows: Rows, groups: Groups, parameter: float, *, largest: bool) -> Rows:
    """The k largest or smallest rows of each group, NaN last; equal ones in their order."""
    present = np.flatnonzero(rows.present)
    ids, values = groups.ids[present], rows.values[present]
    order = np.lexsort((np.arange(len(ids)), -values if largest else values, np.isnan(values), ids))
    rank = _ranks(ids[order])
    chosen = np.zeros(rows.frame.size, np.bool_)
    chosen[present[order[rank < parameter]]] = True
    known = rows.known & ~_any(groups, rows.lost)[groups.ids]
    return Rows(rows.frame, rows.values, chosen, known, rows.lost)


def _ranks(sorted_ids: NDArray[np.intp]) -> NDArray[np.intp]:
    places = np.arange(len(sorted_ids))
    starts = np.flatnonzero(np.diff(sorted_ids, prepend=-1))
    return places - np.repeat(starts, np.diff(np.append(starts, len(sorted_ids))))


_REDUCTIONS: Mapping[str, Reduce] = {
    "sum": _sum,
    "avg": _avg,
    "count": _count,
    "min": lambda rows, groups, _: _extreme(rows, groups, np.fmin),
    "max": lambda rows, groups, _: _extreme(rows, groups, np.fmax),
    "group": lambda _rows, groups, _: np.ones(groups.size),
    "stddev": lambda rows, groups, _: np.sqrt(_stdvar(rows, groups)),
    "stdvar": _stdvar,
    "quantile": _quantile,
}
_CHOICES = frozenset({"topk", "bottomk"})
AGGREGATIONS = frozenset(_REDUCTIONS) | _CHOICES
