"""The samples of every series of a selection in a span of time, in rows of arrays."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from collector.head.errors import HeadError
from collector.head.place import Floats, Indices, Mask, Part, Plane, Rows, after
from collector.head.slab import stale

T = TypeVar("T")
_MAX_SAMPLES = 50_000_000  # of one window, 400 MB: Prometheus' own limit of samples per query
_FEW = 4  # markers of a host in one window
_TOGETHER = 250_000  # samples gone through at once: they stay in a processor's cache


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
    return _closed(_open(part, slots))


def _open(part: Part, slots: Slots) -> Windows:
    """The same with the markers among them."""
    width = slots.times.shape[1]
    if width == 0:
        return _nothing(len(part.base))
    values = slices(part.plane.slab.values, part.base + slots.low[part.block_of], width)
    every = slots.counts[part.block_of]
    _pad(values, every)
    return Windows(values, every, slots.times, slots.counts, part.block_of, slots.memo)


def pieces(part: Part, slots: Slots) -> Iterator[tuple[Rows, Windows]]:
    """The same as `windows_of`, some series at a time, with their places in the selection.

    Series with a marker are by themselves, and those that end with one: markers of a few make nobody else slow.
    """
    for rows in _runs(len(part.base), slots.times.shape[1]):
        found = _open(Part(part.plane, None, part.block_of[rows], part.base[rows]), slots)
        gaps = stale(found.values)
        if not gaps.any():
            yield rows if part.series is None else part.series[rows], found
            continue
        kind = gaps.any(axis=1) + 1 * gaps[:, -1]
        for mine in (np.flatnonzero(kind == each) for each in np.flatnonzero(np.bincount(kind))):
            places = rows.start + mine
            yield places if part.series is None else part.series[places], _closed(_some(found, mine))


def _some(windows: Windows, rows: Indices) -> Windows:
    if len(rows) == len(windows.counts):
        return windows
    of = rows if windows.time_of is None else windows.time_of[rows]
    return Windows(windows.values[rows], windows.counts[rows], windows.time_rows, windows.time_counts, of, windows.memo)


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
    if windows.time_of is not None and not gaps[:, -1].any():
        used, one, of = np.unique(windows.time_of, return_index=True, return_inverse=True)
        shared = gaps[one]
        if bool((gaps == shared[of]).all()) and int(shared.sum(axis=1).max()) <= _FEW:
            return _shifted(windows, shared, used, of)
    real = windows.valid & ~gaps
    counts = real.sum(axis=1)
    left = np.arange(real.shape[1]) < counts[:, None]
    values, times = np.zeros(real.shape), np.zeros(real.shape)
    values[left], times[left] = windows.values[real], windows.times[real]
    _pad(values, counts)
    _pad(times, counts)
    return Windows(values, counts, times, counts, None)


def _shifted(windows: Windows, gaps: Mask, used: Indices, of: Indices) -> Windows:
    """The same where series that share their times share their gaps, as a host's do, and none is at the end.

    Whatever is behind a gap moves one column to the left, as often as a row has gaps; all this changes `gaps`.
    """
    values, times = windows.values.copy(), windows.time_rows[used]
    counts, columns = windows.time_counts[used] - gaps.sum(axis=1), np.arange(gaps.shape[1] - 1)
    while gaps.any():
        first = np.where(gaps.any(axis=1), gaps.argmax(axis=1), gaps.shape[1])
        behind = columns >= first[:, None]
        for rows, moved in ((values, behind[of]), (times, behind), (gaps, behind)):
            np.copyto(rows[:, :-1], rows[:, 1:], where=moved)
    return Windows(values, counts[of], times, counts, of)
