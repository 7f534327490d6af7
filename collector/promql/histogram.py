"""histogram_quantile on classic buckets: the rows of a group are one histogram's buckets, told apart by `le`."""

from dataclasses import dataclass

import numpy as np

from collector.head import Frame
from collector.head.frame import Groups
from collector.labels import NAME
from collector.promql.aggregate import group_masks
from collector.promql.rows import Floats, Index, Mask, Rows

_TOLERANCE = 1e-12  # a bucket lower than the one before it by less than this is rounding
_BUCKET = "le"


@dataclass(frozen=True, slots=True)
class Layout:
    """`cell[row]` is the place of a bucket in a table of histograms by bounds, -1 for a row without a bound.

    The bounds of each histogram stand to the right, so that +Inf is the last; places left of them are NaN.
    """

    frame: Frame
    groups: Groups
    bounds: Floats
    cell: Index


def histogram_quantile(levels: Floats, rows: Rows) -> Rows:
    """The quantile of each histogram. Known as an aggregation of its buckets is."""
    layout = rows.frame.memo("histograms", lambda: _layout(rows.frame))
    counts, there = _table(rows, layout)
    values = _quantile(levels, np.where(there, layout.bounds, np.nan), counts, there)
    present = np.asarray(there.any(axis=2))
    _, known, lost = group_masks(rows, layout.groups)
    return Rows(layout.frame, values, present, known & ~(present & np.isnan(values)), lost)


def _layout(frame: Frame) -> Layout:
    names = set(frame.columns) - {NAME, _BUCKET}
    groups = frame.groups(names)
    upper = _uppers(frame)
    rows = np.flatnonzero(~np.isnan(upper))
    order = rows[np.lexsort((upper[rows], groups.ids[rows]))]
    ids, bounds = groups.ids[order], upper[order]
    new = np.append(True, (ids[1:] != ids[:-1]) | (bounds[1:] != bounds[:-1]))[: len(order)]  # "1" and "1.0" are one
    rank = np.cumsum(new) - 1
    sizes = np.bincount(ids[new], minlength=groups.size)
    width = int(sizes.max(initial=1))
    first = np.append(0, np.cumsum(sizes))[:-1]
    column = rank - first[ids] + width - sizes[ids]
    table = np.full(groups.size * width, np.nan)
    table[ids * width + column] = bounds
    cell = np.full(frame.size, -1, np.intp)
    cell[order] = ids * width + column
    return Layout(frame.keep(names).take(groups.first), groups, table.reshape(groups.size, width), cell)


def _uppers(frame: Frame) -> Floats:
    """The bound of each row, NaN where it has none."""
    column = frame.columns.get(_BUCKET)
    if column is None:
        return np.full(frame.size, np.nan)
    codes, of = np.unique(column, return_inverse=True)
    return np.array([_bound(frame.symbols.decode(int(code))) for code in codes])[of.reshape(-1)]


def _bound(text: str) -> float:
    try:
        return float(text) if text.strip() == text and "_" not in text else float("nan")
    except ValueError:
        return float("nan")


def _table(rows: Rows, layout: Layout) -> tuple[Floats, Mask]:
    """Counts of [step, histogram, bucket], and which buckets there are."""
    shape = (rows.steps, *layout.bounds.shape)
    size = layout.bounds.size
    steps, found = np.nonzero(rows.present & (layout.cell >= 0))
    cells = steps * size + layout.cell[found]
    counts = np.bincount(cells, weights=rows.values[steps, found], minlength=rows.steps * size)
    there = np.zeros(rows.steps * size, np.bool_)
    there[cells] = True
    return counts.reshape(shape), there.reshape(shape)


def _quantile(levels: Floats, bounds: Floats, counts: Floats, there: Mask) -> Floats:
    """By Prometheus' steps: never falling, then linear inside the bucket the rank falls into."""
    some = there.sum(axis=2) >= 2
    infinite = there[:, :, -1] & np.isposinf(bounds[:, :, -1])
    upper, risen = _filled(bounds, counts, there)
    total = risen[:, :, -1]
    with np.errstate(all="ignore"):
        rank = levels * total
        reaches = risen >= rank[:, :, None]
        reaches[:, :, -1] = True
        place = np.argmax(reaches, axis=2)
        last = place == risen.shape[2] - 1
        values = np.where(last, _pick(upper, place - 1), _inside(upper, risen, rank, place))
    values = np.where(some & infinite & (total != 0), values, np.nan)
    values = np.where(levels < 0, -np.inf, np.where(levels > 1, np.inf, values))
    return np.where(np.isnan(levels), np.nan, values)


def _filled(bounds: Floats, counts: Floats, there: Mask) -> tuple[Floats, Floats]:
    """Where a bucket is missing, the one before it; before the first, a count below every rank. Counts never fall."""
    upper, risen = np.full_like(bounds, np.nan), np.full_like(counts, -1.0)
    before, height = upper[:, :, 0].copy(), risen[:, :, 0].copy()
    for column in range(bounds.shape[2]):
        here, count = there[:, :, column], counts[:, :, column]
        grows = here & ((height < 0) | ((count > height) & ~_almost(height, count)))
        before = np.where(here, bounds[:, :, column], before)
        height = np.where(grows, count, height)
        upper[:, :, column], risen[:, :, column] = before, height
    return upper, risen


def _almost(left: Floats, right: Floats) -> Mask:
    with np.errstate(all="ignore"):
        return np.asarray(np.abs(left - right) < _TOLERANCE * (np.abs(left) + np.abs(right)))


def _inside(upper: Floats, risen: Floats, rank: Floats, place: Index) -> Floats:
    """The value at a rank in the bucket at a place; the lowest bucket begins at 0 unless it lies below."""
    end, count = _pick(upper, place), _pick(risen, place)
    lower = np.maximum(place - 1, 0)
    first = (place == 0) | (_pick(risen, lower) < 0)
    begin = np.where(first, 0.0, _pick(upper, lower))
    below = np.where(first, 0.0, _pick(risen, lower))
    value = begin + (end - begin) * ((rank - below) / (count - below))
    return np.where(first & (end <= 0), end, value)


def _pick(table: Floats, place: Index) -> Floats:
    return np.asarray(np.take_along_axis(table, np.maximum(place, 0)[:, :, None], axis=2)[:, :, 0])
