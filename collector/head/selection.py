"""What a select returns: label columns, and the samples of a time span as arrays.

A selection reads the head's arrays where they are, so it is good until the head changes: evaluate at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.head.errors import HeadError
from collector.head.frame import Frame
from collector.head.matcher import Matcher
from collector.head.slab import Slab, stale

Select = Callable[[Sequence[Matcher], float, float], "Selection"]
Floats = NDArray[np.float64]
_MAX_SAMPLES = 50_000_000  # of one window, 400 MB: Prometheus' own limit of samples per query


@dataclass(frozen=True, slots=True)
class Place:
    """Where the series of a selection are: row and host of each; its distinct hosts and each series' place in them."""

    rows: NDArray[np.intp]
    hosts: NDArray[np.intp]
    host_of: NDArray[np.intp]


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
    counts: NDArray[np.intp]
    time_rows: Floats
    time_counts: NDArray[np.intp]  # samples per row of time_rows
    time_of: NDArray[np.intp] | None  # None: time_rows has one row per series

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Where `values` are samples and not padding."""
        return np.asarray(np.arange(self.values.shape[1]) < self.counts[:, None])

    @property
    def full(self) -> bool:
        """True when no window has padding."""
        return bool((self.counts == self.values.shape[1]).all())

    @property
    def times(self) -> Floats:
        """Times of `values`, padded likewise."""
        return self.time_rows if self.time_of is None else self.time_rows[self.time_of]

    def time_at(self, column: NDArray[np.intp] | int) -> Floats:
        """Time of one sample of every series."""
        rows = np.arange(len(self.counts)) if self.time_of is None else self.time_of
        return np.asarray(self.time_rows[rows, column])


class Selection:
    """Series that matched, and their samples in (start, end]."""

    def __init__(self, frame: Frame, slab: Slab, place: Place, start: float, end: float) -> None:
        self.frame = frame
        self._slab = slab
        self._place = place
        self._start = start
        self._end = end

    def latest(self) -> Latest:
        """The newest sample of each series; a marker or nothing in the span means not present."""
        place, slab = self._place, self._slab
        high = self._after(self._end)
        slot = np.maximum(high - 1, 0)
        times = slab.times[place.hosts, slot]
        some = high > slab.begin[place.hosts]
        fresh, spoke = some & (times > self._start), some & (times != slab.marked[place.hosts])
        values = slab.values[place.rows, slot[place.host_of]]
        ended = stale(values)
        present = fresh[place.host_of] & ~ended
        return Latest(values, times[place.host_of], present, ~present & ~(ended & spoke[place.host_of]))

    def windows(self) -> Windows:
        """All samples of the span; markers are not samples. Raises HeadError beyond 50 million."""
        low, high = self._after(self._start), self._after(self._end)
        width = int((high - low).max(initial=0))
        if width * len(self._place.rows) > _MAX_SAMPLES:
            raise HeadError(f"a window of {width} samples by {len(self._place.rows)} series is too much at once")
        if width == 0:
            return _nothing(len(self._place.rows))
        return self._gather(low, high, width)

    def _gather(self, low: NDArray[np.intp], high: NDArray[np.intp], width: int) -> Windows:
        place, slab = self._place, self._slab
        slots = np.clip(low[:, None] + np.arange(width), 0, np.maximum(high - 1, 0)[:, None])
        # One flat index each: several times faster than a pair of broadcast ones.
        times = slab.times.reshape(-1).take(place.hosts[:, None] * slab.slots + slots)
        values = slab.values.reshape(-1).take(place.rows[:, None] * slab.slots + slots[place.host_of])
        counts = (high - low)[place.host_of]
        windows = Windows(values, counts, times, high - low, place.host_of)
        gaps = stale(values)
        return _closed(windows, gaps) if gaps.any() or not counts.all() else windows

    def _after(self, at: float) -> NDArray[np.intp]:
        """For each host the first slot later than `at`."""
        slab, hosts = self._slab, self._place.hosts
        low, high = slab.begin[hosts], slab.end[hosts]
        last = slab.times[hosts, np.maximum(high - 1, 0)]
        low = np.where((last <= at) & (high > low), high, low)
        while bool((low < high).any()):
            middle = (low + high) >> 1
            right = (low < high) & (slab.times[hosts, np.minimum(middle, slab.slots - 1)] <= at)
            high = np.where(right | (low >= high), high, middle)
            low = np.where(right, middle + 1, low)
        return low


def _nothing(rows: int) -> Windows:
    none = np.zeros(rows, np.intp)
    return Windows(np.zeros((rows, 1)), none, np.zeros((rows, 1)), none, None)


def _closed(windows: Windows, gaps: NDArray[np.bool_]) -> Windows:
    """Samples moved left over the markers between them, the last one repeated; rows without any are 0."""
    real = windows.valid & ~gaps
    counts = real.sum(axis=1)
    order = np.argsort(~real, axis=1, kind="stable")
    columns = np.minimum(np.arange(real.shape[1]), np.maximum(counts - 1, 0)[:, None])
    order = np.take_along_axis(order, columns, axis=1)
    some = (counts > 0)[:, None]
    values = np.where(some, np.take_along_axis(windows.values, order, axis=1), 0.0)
    times = np.where(some, np.take_along_axis(windows.times, order, axis=1), 0.0)
    return Windows(values, counts, times, counts, None)
