"""What a select returns: label columns, and the samples of a time span as arrays.

A selection reads the head's arrays where they are, so it is good until the head changes: evaluate at once.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.head.errors import HeadError
from collector.head.frame import Frame
from collector.head.matcher import Matcher
from collector.head.slab import STALE, Slab, stale

Select = Callable[[Sequence[Matcher], float, float], "Selection"]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Remembered = Callable[[Hashable, Callable[[], tuple[Any, int]]], Any]
_MAX_SAMPLES = 50_000_000  # of one window, 400 MB: Prometheus' own limit of samples per query


@dataclass(frozen=True, slots=True)
class Part:
    """The series of a selection that are in one slab."""

    slab: Slab
    series: Indices | None  # their places in the selection; None: all, in order
    blocks: Indices
    block_of: Indices
    base: Indices  # where each one's row begins in the slab's values, counted flat


@dataclass(frozen=True, slots=True)
class Place:
    """Where the samples of a selection are: fine ones, and thin ones of the last hour.

    `short`: no window is kept of some. `own`: some are the collector's own, which change while rules are judged.
    """

    size: int
    fine: tuple[Part, ...]
    thin: tuple[Part, ...]
    short: bool
    own: bool


@dataclass(frozen=True, slots=True)
class Latest:
    """Newest sample of every series: value, time, and whether there is one that is not stale.

    `lost`: there is none, and the series did not end while its host went on: nobody knows.
    """

    values: Floats
    times: Floats
    present: NDArray[np.bool_]
    lost: NDArray[np.bool_]


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


class Selection:
    """Series that matched, and their samples in (start, end]."""

    def __init__(
        self,
        frame: Frame,
        place: Place,
        start: float,
        end: float,
        remembered: Remembered | None = None,
    ) -> None:
        self.frame = frame
        self._remembered = remembered
        self._place = place
        self._start = start
        self._end = end

    def latest(self) -> Latest:
        """The newest sample of each series; a marker or nothing in the span means not present. Read only."""
        found: Latest = self._once("latest", self._latest)
        return found

    def windows(self) -> Windows:
        """All samples of the span; markers are not samples. Read only.

        Raises HeadError beyond 50 million, and for series of which only the newest samples are kept.
        """
        found: Windows = self._once("windows", self._windows)
        return found

    def _once(self, what: str, make: Callable[[], Any]) -> Any:
        if self._remembered is None:
            return make()
        return self._remembered((what, self._start, self._end), lambda: _sealed(make()))

    def _latest(self) -> Latest:
        place = self._place
        if len(place.fine) == 1 and (whole := place.fine[0]).series is None:
            found = _latest(whole, self._start, self._end)
        else:
            found = _spread(((part, _latest(part, self._start, self._end)) for part in place.fine), place.size)
        if place.thin and (found.times > self._end).any():
            found = self._with_charts(found)
        return found

    def _windows(self) -> Windows:
        place = self._place
        if place.short:
            raise HeadError(
                "only the newest values of these series are kept; windows need a loaded rule that asks for them"
            )
        found = [(part, _windows(part, self._start, self._end)) for part in place.fine]
        if place.thin and self._charts_know_more():
            return self._with_earlier(_merged(found, place.size))
        if len(found) != 1 or found[0][0].series is not None:
            return _closed(_merged(found, place.size))
        return _closed(found[0][1])

    def _charts_know_more(self) -> bool:
        """True when a series' fine samples begin within the span and its thinned ones before that."""
        if all((_first(part) <= self._start).all() for part in self._place.fine):
            return False
        fine, thin = _firsts(self._place.fine, self._place.size), _firsts(self._place.thin, self._place.size)
        return bool(((fine > self._start) & (thin < fine)).any())

    def _with_charts(self, found: Latest) -> Latest:
        """Where the fine samples begin after the span, the thinned ones answer."""
        late = found.times > self._end
        place = self._place
        thin = _spread(((part, _latest(part, self._start, self._end)) for part in place.thin), place.size)
        return Latest(
            np.where(late, thin.values, found.values),
            np.where(late, thin.times, found.times),
            np.where(late, thin.present, found.present),
            np.where(late, thin.lost, found.lost),
        )

    def _with_earlier(self, fine: Windows) -> Windows:
        """Thinned samples before the first fine one of each series."""
        place = self._place
        thin = _merged([(part, _windows(part, self._start, self._end)) for part in place.thin], place.size)
        earlier = thin.valid & (thin.times < _firsts(place.fine, place.size)[:, None])
        values = np.concatenate([np.where(earlier, thin.values, STALE), np.where(fine.valid, fine.values, STALE)], 1)
        times = np.concatenate([thin.times, fine.times], axis=1)
        counts = np.full(place.size, values.shape[1])
        return _closed(Windows(values, counts, times, counts, None))


def _sealed(found: Latest | Windows) -> tuple[Latest | Windows, int]:
    """Arrays that several may read, and their size."""
    arrays = [part for name in found.__slots__ if isinstance(part := getattr(found, name), np.ndarray)]
    for array in arrays:
        array.flags.writeable = False
    return found, sum(array.nbytes for array in arrays)


def _latest(part: Part, start: float, end: float) -> Latest:
    slab = part.slab
    high = _after(part, end)
    slot = np.maximum(high - 1, 0)
    times = slab.times[part.blocks, slot]
    some = high > slab.begin[part.blocks]
    fresh, spoke = some & (times > start), some & (times != slab.marked[part.blocks])
    if not some.all():
        times = np.where(some, times, np.inf)
    values = slab.values.reshape(-1).take(part.base + slot[part.block_of])
    ended = stale(values)
    present = fresh[part.block_of] & ~ended
    return Latest(values, times[part.block_of], present, ~present & ~(ended & spoke[part.block_of]))


def _windows(part: Part, start: float, end: float) -> Windows:
    """The slots of the span as they are, markers among them, padded."""
    slab = part.slab
    low, high = _after(part, start), _after(part, end)
    counts = high - low
    width = int(counts.max(initial=0))
    if width * len(part.base) > _MAX_SAMPLES:
        raise HeadError(f"a window of {width} samples by {len(part.base)} series is too much at once")
    if width == 0:
        return _nothing(len(part.base))
    times = _slices(slab.times, part.blocks * slab.slots + low, width)
    values = _slices(slab.values, part.base + low[part.block_of], width)
    every = counts[part.block_of]
    _pad(times, counts)
    _pad(values, every)
    return Windows(values, every, times, counts, part.block_of)


def _slices(rows: Floats, first: Indices, width: int) -> Floats:
    """`width` numbers from each of these places on; one copy of adjoining memory each, not one look-up per number."""
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


def _after(part: Part, at: float) -> Indices:
    """For each block the first slot later than `at`."""
    slab, blocks = part.slab, part.blocks
    low, high = slab.begin[blocks].astype(np.intp), slab.end[blocks].astype(np.intp)
    last = slab.times[blocks, np.maximum(high - 1, 0)]
    low = np.where((last <= at) & (high > low), high, low)
    while bool((low < high).any()):
        middle = (low + high) >> 1
        right = (low < high) & (slab.times[blocks, np.minimum(middle, slab.slots - 1)] <= at)
        high = np.where(right | (low >= high), high, middle)
        low = np.where(right, middle + 1, low)
    return low


def _first(part: Part) -> Floats:
    """Time of the oldest slot of each block, infinite without any."""
    slab, blocks = part.slab, part.blocks
    begin, end = slab.begin[blocks], slab.end[blocks]
    return np.where(end > begin, slab.times[blocks, np.minimum(begin, slab.slots - 1)], np.inf)


def _firsts(parts: Iterable[Part], size: int) -> Floats:
    """The same for each series."""
    first = np.full(size, np.inf)
    for part in parts:
        first[slice(None) if part.series is None else part.series] = _first(part)[part.block_of]
    return first


def _nothing(rows: int) -> Windows:
    none = np.zeros(rows, np.intp)
    return Windows(np.zeros((rows, 1)), none, np.zeros((rows, 1)), none, None)


def _spread(parts: Iterable[tuple[Part, Latest]], size: int) -> Latest:
    """One answer of the parts' answers; a series that is in no part is lost."""
    whole = Latest(np.zeros(size), np.full(size, -np.inf), np.zeros(size, np.bool_), np.ones(size, np.bool_))
    for part, found in parts:
        at = slice(None) if part.series is None else part.series
        whole.values[at], whole.times[at] = found.values, found.times
        whole.present[at], whole.lost[at] = found.present, found.lost
    return whole


def _merged(parts: Sequence[tuple[Part, Windows]], size: int) -> Windows:
    """One set of windows of the parts' windows, as wide as the widest."""
    width = max((found.values.shape[1] for _, found in parts), default=1)
    values, times = np.zeros((size, width)), np.zeros((size, width))
    counts = np.zeros(size, np.intp)
    for part, found in parts:
        at = np.arange(size) if part.series is None else part.series
        mine = found.values.shape[1]
        values[at, :mine], times[at, :mine] = found.values, found.times
        values[at, mine:], times[at, mine:] = found.values[:, -1:], found.times[:, -1:]
        counts[at] = found.counts
    return Windows(values, counts, times, counts, None)


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
