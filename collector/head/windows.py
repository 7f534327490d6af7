"""The samples of every series of a selection in a span of time, in rows of arrays."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from collector.head.errors import HeadError
from collector.head.place import Floats, Indices, Part, Plane, Rows, after
from collector.head.slab import stale

T = TypeVar("T")
_MAX_SAMPLES = 50_000_000  # of one window, 400 MB: Prometheus' own limit of samples per query
_TOGETHER = 100_000  # samples gone through at once: they stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots of each block within a span: the first one, how many, and their times."""

    low: Indices
    counts: Indices
    times: Floats
    memo: dict[Hashable, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Windows:
    """Samples of every series in a span, to the left: `values[row, :counts[row]]`; the rest repeats the last one.

    `times` is as wide; where a series has none both are 0.
    """

    values: Floats
    counts: Indices
    time_rows: Floats
    time_counts: Indices  # samples per row of time_rows
    time_of: Indices | None  # None: time_rows has one row per series
    memo: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, what: Hashable, make: Callable[[], T]) -> T:
        """What follows from `time_rows` and `time_counts` alone: made once for all windows that share them."""
        if what not in self.memo:
            self.memo[what] = make()
        made: T = self.memo[what]
        return made

    def each(self, column: NDArray[Any]) -> NDArray[Any]:
        """A number of each row of times, for each series."""
        return column if self.time_of is None else column[self.time_of]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Where `values` are samples and not padding."""
        return np.asarray(np.arange(self.values.shape[1]) < self.counts[:, None])

    @property
    def full(self) -> bool:
        """True when no window has padding."""
        return bool((self.time_counts == self.values.shape[1]).all())

    @property
    def times(self) -> Floats:
        """Times of `values`, padded likewise."""
        return self.time_rows if self.time_of is None else self.time_rows[self.time_of]

    def time_at(self, column: Indices | int) -> Floats:
        """Time of one sample of every series."""
        rows = np.arange(len(self.counts)) if self.time_of is None else self.time_of
        return np.asarray(self.time_rows[rows, column])


def slots_in(plane: Plane, start: float, end: float) -> Slots:
    """The slots later than `start`, up to `end`."""
    low, high = after(plane, start), after(plane, end)
    counts = high - low
    width = int(counts.max(initial=0))
    times = slices(plane.slab.times, plane.blocks * plane.slab.slots + low, width)
    _pad(times, counts)
    return Slots(low, counts, times)


def refuse_wide(slots: Slots, size: int) -> None:
    """Raises HeadError when windows of so many series would have more than 50 million samples."""
    width = slots.times.shape[1]
    if width * size > _MAX_SAMPLES:
        raise HeadError(f"a window of {width} samples by {size} series is too much at once")


def windows_of(part: Part, slots: Slots) -> Windows:
    """The samples in these slots."""
    width = slots.times.shape[1]
    if width == 0:
        return _nothing(len(part.base))
    values = slices(part.plane.slab.values, part.base + slots.low[part.block_of], width)
    every = slots.counts[part.block_of]
    _pad(values, every)
    return _closed(Windows(values, every, slots.times, slots.counts, part.block_of, slots.memo))


def pieces(part: Part, slots: Slots) -> Iterator[tuple[Rows, Windows]]:
    """The same, some series at a time, with their places in the selection."""
    for rows in _runs(len(part.base), slots.times.shape[1]):
        some = Part(part.plane, None, part.block_of[rows], part.base[rows])
        yield rows if part.series is None else part.series[rows], windows_of(some, slots)


def spliced(chart: Part, of_chart: Slots, fine: Part, of_fine: Slots) -> Iterator[tuple[Rows, Windows]]:
    """The same of series that have thinned samples before their first fine one; both parts have them in one order."""
    for rows in _runs(len(fine.base), of_chart.times.shape[1] + of_fine.times.shape[1]):
        yield from _spliced(chart.some(rows), of_chart, fine.some(rows), of_fine)


def _spliced(chart: Part, of_chart: Slots, fine: Part, of_fine: Slots) -> Iterator[tuple[Rows, Windows]]:
    """Those that have equally many thinned samples together: their fine ones begin in the same column."""
    most, width = of_chart.times.shape[1], of_fine.times.shape[1]
    pairs, pair_of = np.unique(fine.block_of * len(of_chart.counts) + chart.block_of, return_inverse=True)
    left, right = pairs % len(of_chart.counts), pairs // len(of_chart.counts)
    first = np.where(of_fine.counts > 0, of_fine.times[:, 0], np.inf) if width else np.full(len(of_fine.counts), np.inf)
    earlier = (of_chart.times[left] < first[right, None]) & (np.arange(most) < of_chart.counts[left, None])
    thinned = earlier.sum(axis=1)
    for count in np.unique(thinned).tolist():
        mine, rows = np.flatnonzero(thinned == count), np.flatnonzero(thinned[pair_of] == count)
        if count + width == 0:
            continue
        times = np.concatenate([of_chart.times[left[mine], :count], of_fine.times[right[mine]]], axis=1)
        counts = count + of_fine.counts[right[mine]]
        _pad(times, counts)
        one, other = chart.some(rows), fine.some(rows)
        begin = slices(one.plane.slab.values, one.base + of_chart.low[one.block_of], count)
        end = slices(other.plane.slab.values, other.base + of_fine.low[other.block_of], width)
        values, of = np.concatenate([begin, end], axis=1), np.searchsorted(mine, pair_of[rows])
        _pad(values, counts[of])
        yield other.places, _closed(Windows(values, counts[of], times, counts, of))


def _runs(size: int, width: int) -> Iterator[slice]:
    run = max(1, _TOGETHER // max(1, width))
    return (slice(begin, min(begin + run, size)) for begin in range(0, size, run))


def merged(parts: Iterable[tuple[Rows, Windows]], size: int) -> Windows:
    """One set of windows of these, as wide as the widest."""
    found = list(parts)
    width = max((some.values.shape[1] for _, some in found), default=1)
    values, times = np.zeros((size, width)), np.zeros((size, width))
    counts = np.zeros(size, np.intp)
    for rows, some in found:
        mine = some.values.shape[1]
        values[rows, :mine], times[rows, :mine] = some.values, some.times
        values[rows, mine:], times[rows, mine:] = some.values[:, -1:], some.times[:, -1:]
        counts[rows] = some.counts
    return Windows(values, counts, times, counts, None)


def slices(rows: Floats, first: Indices, width: int) -> Floats:
    """`width` numbers from each of these places on; one copy of adjoining memory each, not one look-up per number."""
    if width == 0:
        return np.zeros((len(first), 0))
    flat = rows.reshape(-1)
    kind = np.dtype((np.void, 8 * width))
    adjoining: NDArray[np.void] = np.ndarray((flat.size - width + 1,), kind, flat, strides=(8,))
    return adjoining[first].view(np.float64).reshape(len(first), width)


def _pad(rows: Floats, counts: Indices) -> None:
    """Behind each row's samples its last one again; 0 where it has none."""
    width = rows.shape[1]
    least = int(counts.min(initial=width))
    if least == width:
        return
    short = np.flatnonzero(counts < width)
    sizes = counts[short]
    last = np.where(sizes > 0, rows[short, np.maximum(sizes - 1, 0)], 0.0)
    for column in range(least, width):
        behind = sizes <= column
        rows[short[behind], column] = last[behind]


def _nothing(rows: int) -> Windows:
    none = np.zeros(rows, np.intp)
    return Windows(np.zeros((rows, 1)), none, np.zeros((rows, 1)), none, None)


def _closed(windows: Windows) -> Windows:
    """Samples moved left over the markers between them, the last one repeated; rows without any are 0."""
    gaps = stale(windows.values)
    if not gaps.any():
        return windows
    real = windows.valid & ~gaps
    counts = real.sum(axis=1)
    order = np.argsort(~real, axis=1, kind="stable")
    columns = np.minimum(np.arange(real.shape[1]), np.maximum(counts - 1, 0)[:, None])
    order = np.take_along_axis(order, columns, axis=1)
    some = (counts > 0)[:, None]
    values = np.where(some, np.take_along_axis(windows.values, order, axis=1), 0.0)
    times = np.where(some, np.take_along_axis(windows.times, order, axis=1), 0.0)
    return Windows(values, counts, times, counts, None)
