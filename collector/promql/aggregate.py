"""Aggregations over groups of rows. Groupings hang on the frame; a group's rows that are not in the vector are masked.

A group is known when one of its rows is and none is lost: a missing part could have been the one that mattered.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from collector.head import Frame
from collector.head.frame import Groups
from collector.labels import NAME
from collector.promql.errors import EvaluationError
from collector.promql.nodes import Aggregate
from collector.promql.quantiles import quantile_of_groups
from collector.promql.rows import Floats, Index, Mask, Rows, spread


@dataclass(frozen=True, slots=True)
class Cells:
    """The rows of all steps in one line: group of each, values, and which are in the vector."""

    ids: Index
    size: int
    values: Floats
    present: Mask


Reduce = Callable[[Cells, Floats], Floats]


def aggregate(node: Aggregate, rows: Rows, parameter: Floats) -> Rows:
    """One row per group; topk and bottomk keep the rows they choose. `parameter` has a row for each step."""
    groups = grouping(node, rows.frame)
    cells = _cells(rows, groups)
    if node.operator in _CHOICES:
        return _choose(rows, cells, parameter, largest=node.operator == "topk")
    shape = (rows.steps, groups.size)
    values = _REDUCTIONS[node.operator](cells, np.repeat(parameter[:, 0], groups.size)).reshape(shape)
    present, known, lost = group_masks(rows, groups)
    known &= ~(present & np.isnan(values))
    return Rows(_result_frame(node, rows.frame, groups), values, present, known, lost)


def grouping(node: Aggregate, frame: Frame) -> Groups:
    """Groups of a frame's rows under by or without."""
    return frame.groups(grouping_names(node, frame))


def grouping_names(node: Aggregate, frame: Frame) -> frozenset[str]:
    """The labels that an aggregation keeps."""
    if node.without:
        return frozenset(frame.columns) - {*node.labels, NAME}
    return frozenset(node.labels).intersection(frame.columns)


def group_masks(rows: Rows, groups: Groups) -> tuple[Mask, Mask, Mask]:
    """Present, known and lost of each group at each step."""
    ids = spread(groups.ids, groups.size, rows.steps)
    present, known, lost = (_any(ids, groups.size, mask) for mask in (rows.present, rows.known, rows.lost))
    return present, known & ~lost, lost


def _cells(rows: Rows, groups: Groups) -> Cells:
    ids = spread(groups.ids, groups.size, rows.steps)
    return Cells(ids, groups.size * rows.steps, rows.values.reshape(-1), rows.present.reshape(-1))


def _result_frame(node: Aggregate, frame: Frame, groups: Groups) -> Frame:
    names = grouping_names(node, frame)
    return frame.memo(("aggregate", names), lambda: frame.keep(names).take(groups.first))


def _any(ids: Index, size: int, mask: Mask) -> Mask:
    found = np.zeros((len(mask), size), np.bool_)
    found.reshape(-1)[ids[mask.reshape(-1)]] = True
    return found


def _count(cells: Cells, _: Floats) -> Floats:
    return np.bincount(cells.ids[cells.present], minlength=cells.size).astype(np.float64)


def _sum(cells: Cells, _: Floats) -> Floats:
    values = np.where(cells.present, cells.values, 0.0)
    with np.errstate(all="ignore"):
        total = np.bincount(cells.ids, weights=values, minlength=cells.size)
        size = np.bincount(cells.ids, weights=np.abs(values), minlength=cells.size)
        cancelled = size > 1e4 * np.abs(total)
    if bool(cancelled.any()):
        total = np.where(cancelled, _careful_sum(values, cells), total)
    if bool(np.signbit(values).any()):
        total = np.where(total == 0.0, _zero_sum(cells), total)
    return np.asarray(total, np.float64)


def _zero_sum(cells: Cells) -> Floats:
    """Minus zero for groups of nothing else."""
    other = cells.present & ~((cells.values == 0.0) & np.signbit(cells.values))
    return np.where(np.bincount(cells.ids[other], minlength=cells.size) > 0, 0.0, -0.0)


def _careful_sum(values: Floats, cells: Cells) -> Floats:
    """Sums where large terms cancel, in extended precision."""
    total = np.zeros(cells.size, np.longdouble)
    with np.errstate(all="ignore"):
        np.add.at(total, cells.ids, values.astype(np.longdouble))
        return total.astype(np.float64)


def _avg(cells: Cells, parameter: Floats) -> Floats:
    with np.errstate(all="ignore"):
        counts = _count(cells, parameter)
        mean = _sum(cells, parameter) / counts
        if not np.isinf(mean).any():
            return mean
        # A sum may overflow where the mean does not.
        shrunk = np.where(cells.present, cells.values, 0.0) * 2.0**-64
        smaller = np.bincount(cells.ids, weights=shrunk, minlength=cells.size) / counts
        return np.asarray(np.where(np.isinf(mean), smaller * 2.0**64, mean), np.float64)


def _extreme(cells: Cells, better: np.ufunc) -> Floats:
    """Smallest or largest of each group; NaN only where there is nothing else."""
    extreme = np.full(cells.size, np.nan)
    better.at(extreme, cells.ids[cells.present], cells.values[cells.present])
    return extreme


def _stdvar(cells: Cells, parameter: Floats) -> Floats:
    mean = _avg(cells, parameter)
    with np.errstate(all="ignore"):
        squares = np.where(cells.present, (cells.values - mean[cells.ids]) ** 2, 0.0)
        return np.bincount(cells.ids, weights=squares, minlength=cells.size) / _count(cells, parameter)


def _quantile(cells: Cells, levels: Floats) -> Floats:
    return quantile_of_groups(levels, cells.ids[cells.present], cells.values[cells.present])


def _choose(rows: Rows, cells: Cells, parameter: Floats, *, largest: bool) -> Rows:
    """The k largest or smallest rows of each group, NaN last; equal ones in their order."""
    present = np.flatnonzero(cells.present)
    most = np.repeat(_whole(parameter, some=bool(len(present))), rows.frame.size)
    ids, values = cells.ids[present], cells.values[present]
    order = np.lexsort((np.arange(len(ids)), -values if largest else values, np.isnan(values), ids))
    chosen = np.zeros(len(cells.present), np.bool_)
    best = present[order]
    chosen[best[_ranks(ids[order]) < most[best]]] = True
    lost = _any(cells.ids, cells.size // rows.steps, rows.lost).reshape(-1)[cells.ids]
    known = rows.known & ~lost.reshape(rows.known.shape)
    return Rows(rows.frame, rows.values, chosen.reshape(rows.present.shape), known, rows.lost)


def _whole(parameter: Floats, *, some: bool) -> Floats:
    """How many to choose at each step, cut to whole numbers. Raises EvaluationError where that is none."""
    if some and not (np.abs(parameter) < 2.0**63).all():
        raise EvaluationError(f"{parameter[0, 0]:g} is not a number of series to choose")
    return np.trunc(parameter[:, 0])


def _ranks(sorted_ids: Index) -> Index:
    places = np.arange(len(sorted_ids))
    starts = np.flatnonzero(np.diff(sorted_ids, prepend=-1))
    return places - np.repeat(starts, np.diff(np.append(starts, len(sorted_ids))))


_REDUCTIONS: Mapping[str, Reduce] = {
    "sum": _sum,
    "avg": _avg,
    "count": _count,
    "min": lambda cells, _: _extreme(cells, np.fmin),
    "max": lambda cells, _: _extreme(cells, np.fmax),
    "group": lambda cells, _: np.ones(cells.size),
    "stddev": lambda cells, parameter: np.sqrt(_stdvar(cells, parameter)),
    "stdvar": _stdvar,
    "quantile": _quantile,
}
_CHOICES = frozenset({"topk", "bottomk"})
AGGREGATIONS = frozenset(_REDUCTIONS) | _CHOICES | {"count_values"}
