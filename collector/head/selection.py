"""What a select returns: label columns, and the samples of a time span as arrays.

A selection reads the head's arrays where they are, so it is good until the head changes: evaluate at once.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from collector.head.answers import Answers
from collector.head.errors import HeadError
from collector.head.frame import Frame
from collector.head.matcher import Matcher
from collector.head.slab import STALE, Slab, stale

Select = Callable[[Sequence[Matcher], float, float], "Selection"]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
T = TypeVar("T")
_MAX_SAMPLES = 50_000_000  # of one window, 400 MB: Prometheus' own limit of samples per query
_TOGETHER = 100_000  # samples of windows gone through at once: they stay in the processor's cache


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Plane:
    """Blocks of a slab: the same object for every selection of series in the same ones, as metrics of a fleet are."""

    slab: Slab
    blocks: Indices


@dataclass(frozen=True, slots=True)
class Part:
    """The series of a selection that are in one slab."""

    plane: Plane
    series: Indices | None  # their places in the selection; None: all, in order
    block_of: Indices
    base: Indices  # where each one's row begins in the slab's values, counted flat


@dataclass(frozen=True, slots=True)
class Place:
    """Where the samples of a selection are: fine ones, and thin ones of the last hour.

    `short`: no window is kept of some. `own`: some are the collector's own, which change while rules are judged.
    """

    size: int
    fine: tuple[Part, ...]
    thin: Callable[[], tuple[Part, ...]] | None  # looked up when somebody asks; None: there are none
    short: bool
    own: bool


@dataclass(frozen=True, slots=True)
class Latest:
    """Newest sample of every series: value, time, and whether there is one that is not stale.

    `lost`: there is none, and the series did not end while its host went on: nobody knows.
    """

    values: Floats
    time_rows: Floats
    time_of: Indices | None  # None: one time per series
    present: NDArray[np.bool_]
    lost: NDArray[np.bool_]

    @property
    def times(self) -> Floats:
        """Time of each value."""
        return self.time_rows if self.time_of is None else self.time_rows.take(self.time_of, axis=-1)


@dataclass(frozen=True, slots=True)
class _Look:
    """The newest slot of each block: which one, its time (infinite without any), and what it tells of its series.

    At many moments each array has a first axis of moments.
    """

    slot: Indices
    times: Floats
    fresh: NDArray[np.bool_]
    spoke: NDArray[np.bool_]
    current: bool  # all are fresh


@dataclass(frozen=True, slots=True)
class _Slots:
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


class Selection:
    """Series that matched, and their samples in (start, end]."""

    def __init__(
        self,
        frame: Frame,
        place: Place,
        start: float,
        end: float,
        question: Hashable = None,
        answers: Answers | None = None,
    ) -> None:
        self.frame = frame
        self._question = question
        self._answers = answers
        self._place = place
        self._start = start
        self._end = end

    @property
    def place(self) -> Place:
        """Where the samples are."""
        return self._place

    @property
    def span(self) -> tuple[float, float]:
        """After the first time, up to the second."""
        return self._start, self._end

    def latest(self) -> Latest:
        """The newest sample of each series; a marker or nothing in the span means not present. Read only."""
        return self._once(self._question, "latest", lambda: self._latest(self._end, self._look))

    def latest_at(self, moments: Floats, lookback: float) -> Latest:
        """The newest sample of each series within the look-back of every moment: arrays [moment, series].

        `moments` grow, and lie in the selection's span.
        """
        starts = (np.rint((moments - lookback) * 1000.0) / 1000.0)[:, None]
        what = ("look", lookback, moments.tobytes())
        return self._latest(
            moments[:, None],
            lambda part: self._once(
                part.plane, what, lambda: _looked(part.plane, starts, _counted(part.plane, moments))
            ),
        )

    def windows(self) -> Windows:
        """All samples of the span; markers are not samples. Read only.

        Raises HeadError beyond 50 million, and for series of which only the newest samples are kept.
        """
        return self._once(self._question, "windows", self._windows)

    def relative(self) -> Iterator[tuple[slice | Indices, Windows]]:
        """The same, with times in seconds from the end of the span and some series at a time. Read only.

        Series without any sample may be left out.
        """
        place = self._place
        if place.short:
            self.windows()  # which says why there are none
        earlier = self._with_charts()
        for part in place.fine:
            yield from self._pieces(part if earlier is None else _without(part, earlier))
        if earlier is not None:
            chosen = np.flatnonzero(earlier)
            windows = Selection(self.frame, _only(place, chosen), self._start, self._end).windows()
            yield chosen, replace(windows, time_rows=self._before_end(windows.time_rows), memo={})

    def _pieces(self, part: Part) -> Iterator[tuple[slice | Indices, Windows]]:
        slots = self._once(part.plane, "relative", lambda: self._relative(part))
        run, size = max(1, _TOGETHER // max(1, slots.times.shape[1])), len(part.base)
        for rows in (slice(begin, min(begin + run, size)) for begin in range(0, size, run)):
            some = Part(part.plane, None, part.block_of[rows], part.base[rows])
            yield rows if part.series is None else part.series[rows], _closed(_windows(some, slots))

    def _before_end(self, times: Floats) -> Floats:
        return np.asarray(np.rint((times - self._end) * 1000.0) / 1000.0)

    def _relative(self, part: Part) -> _Slots:
        slots = self._slots(part)
        return replace(slots, times=self._before_end(slots.times), memo={})

    def _slots(self, part: Part) -> _Slots:
        slots = self._once(part.plane, "slots", lambda: _slots(part.plane, self._start, self._end))
        _refuse_wide(slots, self._place.size)
        return slots

    def _first(self, part: Part) -> Floats:
        return self._once(part.plane, "first", lambda: _first(part.plane))

    def _look(self, part: Part) -> _Look:
        return self._once(part.plane, "look", lambda: _look(part.plane, self._start, self._end))

    def _once(self, of: Hashable, what: Hashable, make: Callable[[], T]) -> T:
        if self._answers is None:
            return make()
        return self._answers.get((of, what, self._start, self._end), lambda: _sealed(make()))

    def _latest(self, end: Floats | float, look: Callable[[Part], _Look]) -> Latest:
        place, shape = self._place, (*np.shape(end)[:-1], self._place.size)
        if len(place.fine) == 1 and (whole := place.fine[0]).series is None:
            found = _latest(whole, look(whole))
        else:
            found = _spread(((part, _latest(part, look(part))) for part in place.fine), shape)
        if place.thin is not None and (found.time_rows > end).any():
            charts = _spread(((part, _latest(part, look(part))) for part in place.thin()), shape)
            found = _where(found.times > end, charts, found)  # the fine samples begin after the span
        return found

    def _windows(self) -> Windows:
        place = self._place
        if place.short:
            raise HeadError(
                "only the newest values of these series are kept; windows need a loaded rule that asks for them"
            )
        found = [(part, _windows(part, self._slots(part))) for part in place.fine]
        if place.thin is not None and self._with_charts() is not None:
            return self._with_earlier(_merged(found, place.size), place.thin())
        if len(found) != 1 or found[0][0].series is not None:
            return _closed(_merged(found, place.size))
        return _closed(found[0][1])

    def _with_charts(self) -> NDArray[np.bool_] | None:
        """Whose fine samples begin within the span, and thinned ones before that; None: nobody's, as nearly always."""
        place = self._place
        if place.thin is None or all((self._first(part) <= self._start).all() for part in place.fine):
            return None
        fine, thin = _firsts(place.fine, place.size), _firsts(place.thin(), place.size)
        earlier = (fine > self._start) & (thin < fine)
        return earlier if bool(earlier.any()) else None

    def _with_earlier(self, fine: Windows, charts: tuple[Part, ...]) -> Windows:
        """Thinned samples before the first fine one of each series."""
        place = self._place
        thin = _merged([(part, _windows(part, self._slots(part))) for part in charts], place.size)
        earlier = thin.valid & (thin.times < _firsts(place.fine, place.size)[:, None])
        values = np.concatenate([np.where(earlier, thin.values, STALE), np.where(fine.valid, fine.values, STALE)], 1)
        times = np.concatenate([thin.times, fine.times], axis=1)
        counts = np.full(place.size, values.shape[1])
        return _closed(Windows(values, counts, times, counts, None))


def _without(part: Part, others: NDArray[np.bool_]) -> Part:
    """A part without some series of the selection."""
    series = np.arange(len(part.base)) if part.series is None else part.series
    mine = ~others[series]
    return Part(part.plane, series[mine], part.block_of[mine], part.base[mine])


def _only(place: Place, chosen: Indices) -> Place:
    """Of some series alone, which are numbered anew."""
    number = np.full(place.size, -1)
    number[chosen] = np.arange(len(chosen))

    def mine(parts: Iterable[Part]) -> tuple[Part, ...]:
        each = ((part, number if part.series is None else number[part.series]) for part in parts)
        return tuple(Part(p.plane, n[n >= 0], p.block_of[n >= 0], p.base[n >= 0]) for p, n in each)

    thin = place.thin
    return replace(place, size=len(chosen), fine=mine(place.fine), thin=None if thin is None else lambda: mine(thin()))


def _sealed(found: T) -> tuple[T, int]:
    """Arrays that several may read, and their size."""
    parts = [found] if isinstance(found, np.ndarray) else [getattr(found, name) for name in found.__slots__]  # type: ignore[attr-defined]
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    for array in arrays:
        array.flags.writeable = False
    return found, sum(array.nbytes for array in arrays)


def _look(plane: Plane, start: float, end: float) -> _Look:
    return _looked(plane, start, after(plane, end))


def _looked(plane: Plane, start: Floats | float, high: Indices) -> _Look:
    """`high`: the first slot of each block that is later than the span's end."""
    slab, blocks = plane.slab, plane.blocks
    slot = np.maximum(high - 1, 0)
    times = slab.times[blocks, slot]
    some = high > slab.begin[blocks]
    fresh, spoke = some & (times > start), some & (times != slab.marked[blocks])
    return _Look(slot, np.where(some, times, np.inf), fresh, spoke, bool(fresh.all()))


def _latest(part: Part, look: _Look) -> Latest:
    block_of = part.block_of
    values = part.plane.slab.values.reshape(-1).take(part.base + look.slot.take(block_of, axis=-1))
    ended = stale(values)
    if look.current and not ended.any():
        return Latest(values, look.times, block_of, ~ended, ended)
    present = look.fresh.take(block_of, axis=-1) & ~ended
    return Latest(values, look.times, block_of, present, ~present & ~(ended & look.spoke.take(block_of, axis=-1)))


def _where(mask: NDArray[np.bool_], one: Latest, other: Latest) -> Latest:
    return Latest(
        np.where(mask, one.values, other.values),
        np.where(mask, one.times, other.times),
        None,
        np.where(mask, one.present, other.present),
        np.where(mask, one.lost, other.lost),
    )


def _slots(plane: Plane, start: float, end: float) -> _Slots:
    low, high = after(plane, start), after(plane, end)
    counts = high - low
    width = int(counts.max(initial=0))
    if width == 0:
        return _Slots(low, counts, np.zeros((len(counts), 0)))
    times = slices(plane.slab.times, plane.blocks * plane.slab.slots + low, width)
    _pad(times, counts)
    return _Slots(low, counts, times)


def _refuse_wide(slots: _Slots, size: int) -> None:
    width = slots.times.shape[1]
    if width * size > _MAX_SAMPLES:
        raise HeadError(f"a window of {width} samples by {size} series is too much at once")


def _windows(part: Part, slots: _Slots) -> Windows:
    """The slots of the span as they are, markers among them, padded."""
    width = slots.times.shape[1]
    if width == 0:
        return _nothing(len(part.base))
    values = slices(part.plane.slab.values, part.base + slots.low[part.block_of], width)
    every = slots.counts[part.block_of]
    _pad(values, every)
    return Windows(values, every, slots.times, slots.counts, part.block_of, slots.memo)


def slices(rows: Floats, first: Indices, width: int) -> Floats:
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


def after(plane: Plane, at: float) -> Indices:
    """For each block the first slot later than `at`."""
    slab, blocks = plane.slab, plane.blocks
    low, high = slab.begin[blocks].astype(np.intp), slab.end[blocks].astype(np.intp)
    last = slab.times[blocks, np.maximum(high - 1, 0)]
    low = np.where((last <= at) & (high > low), high, low)
    while bool((low < high).any()):
        middle = (low + high) >> 1
        right = (low < high) & (slab.times[blocks, np.minimum(middle, slab.slots - 1)] <= at)
        high = np.where(right | (low >= high), high, middle)
        low = np.where(right, middle + 1, low)
    return low


def _counted(plane: Plane, moments: Floats) -> Indices:
    """The same for many moments, which grow: each slot between them is asked once from which one on it counts."""
    slab, blocks, steps = plane.slab, plane.blocks, len(moments)
    first, last = after(plane, float(moments[0])), after(plane, float(moments[-1]))
    low, high = int(first.min(initial=slab.slots)), int(last.max(initial=0))
    if low >= high:
        return np.broadcast_to(first, (steps, len(blocks)))
    columns = np.arange(low, high)
    since = np.searchsorted(moments, slab.times[blocks, low:high])
    since += np.arange(len(blocks))[:, None] * steps
    there = (columns >= first[:, None]) & (columns < last[:, None])
    counts = np.bincount(since[there], minlength=len(blocks) * steps).reshape(len(blocks), steps)
    return np.asarray((first[:, None] + counts.cumsum(axis=1)).T, np.intp)


def _first(plane: Plane) -> Floats:
    """Time of the oldest slot of each block, infinite without any."""
    slab, blocks = plane.slab, plane.blocks
    begin, end = slab.begin[blocks], slab.end[blocks]
    return np.where(end > begin, slab.times[blocks, np.minimum(begin, slab.slots - 1)], np.inf)


def _firsts(parts: Iterable[Part], size: int) -> Floats:
    """The same for each series."""
    first = np.full(size, np.inf)
    for part in parts:
        first[slice(None) if part.series is None else part.series] = _first(part.plane)[part.block_of]
    return first


def _nothing(rows: int) -> Windows:
    none = np.zeros(rows, np.intp)
    return Windows(np.zeros((rows, 1)), none, np.zeros((rows, 1)), none, None)


def _spread(parts: Iterable[tuple[Part, Latest]], shape: tuple[int, ...]) -> Latest:
    """One answer of the parts' answers; a series that is in no part is lost."""
    none = np.zeros(shape, np.bool_)
    whole = Latest(np.zeros(shape), np.full(shape, -np.inf), None, none, ~none)
    for part, found in parts:
        at = slice(None) if part.series is None else part.series
        whole.values[..., at], whole.time_rows[..., at] = found.values, found.times
        whole.present[..., at], whole.lost[..., at] = found.present, found.lost
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
