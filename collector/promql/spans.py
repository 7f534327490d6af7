"""Windows of samples for functions of a range: of a selector or of a subquery, for all steps, some steps at a time.

The rows of a `Span`'s windows are the series of its first step, then those of its second, and so on; the times of its
samples are relative to the window's end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from collector.head import Frame, HeadError, Selection, Windows
from collector.promql.errors import EvaluationError
from collector.promql.nodes import Node, Range, Subquery
from collector.promql.rows import Context, Floats, Index, Mask, Rows, milli
from collector.promql.selectors import choose, instant, moments

Vectors = Callable[[Node, Context], Rows]
_BLOCK = 4_000_000  # samples of one span
_GAP = 1.1  # a window's edge this many average intervals away is not reached by extrapolation
_EDGE = 4  # values' worth of work to find where a step's window begins and ends in a row of times
_PLACE = 100  # finding a subquery's step takes as long as work on this many values


@dataclass(frozen=True, slots=True)
class Edges:
    """Of each row of times: seconds from the first sample to the last, and how far to go on to the window's edges."""

    sampled: Floats
    before: Floats
    after: Floats


@dataclass(frozen=True, slots=True)
class Span:
    """The windows that end at `ends`, each of `seconds`; `steps` are the evaluation's steps they belong to."""

    windows: Windows
    seconds: float
    ends: Floats
    steps: slice
    columns: slice | Index  # the evaluation's series they belong to
    series: int  # how many those are

    @property
    def edges(self) -> Edges:
        """How far the samples of each row of times reach, worked out once for windows with the same times."""
        return self.windows.once(("edges", self.seconds), lambda: _edges(self.windows, self.seconds))

    def each(self, column: Floats) -> Floats:
        """A number of each step, for each window."""
        return np.repeat(column[self.steps, 0], self.series)


@dataclass(frozen=True, slots=True)
class Ranged:
    """A range argument: what is known of its series at each step, and its windows, to be gone through once."""

    rows: Rows
    spans: Iterator[Span]


def ranged(node: Range | Subquery, context: Context, vectors: Vectors) -> Ranged:
    """The windows of a range selector or subquery. Raises EvaluationError when they are too big."""
    return _of_selector(node, context) if isinstance(node, Range) else _of_subquery(node, context, vectors)


def _of_selector(node: Range, context: Context) -> Ranged:
    ends = moments(node.selector, context)
    start, end = float(ends.min()) - node.seconds, float(ends.max())
    newest, chosen = instant(node.selector, context), choose(node.selector, context.select, start, end)
    if len(ends) == 1:
        return Ranged(newest, _pieces(node, chosen, ends, context))
    try:
        whole = chosen.windows()
    except HeadError as error:
        raise EvaluationError(str(error)) from None
    context.meter.spend(whole.values.size)
    return Ranged(newest, _cut(node, whole, ends, context))


def _pieces(node: Range, chosen: Selection, ends: Floats, context: Context) -> Iterator[Span]:
    """One step's windows, some series at a time."""
    try:
        for columns, windows in chosen.relative():
            context.meter.spend(windows.values.size)
            yield Span(windows, node.seconds, ends, slice(0, 1), columns, len(windows.counts))
    except HeadError as error:
        raise EvaluationError(str(error)) from None


def _edges(windows: Windows, seconds: float) -> Edges:
    last = np.maximum(windows.time_counts - 1, 0)
    first_at, last_at = windows.time_rows[:, 0], windows.time_rows[np.arange(len(last)), last]
    with np.errstate(all="ignore"):
        sampled = last_at - first_at
        interval = sampled / last
        return Edges(sampled, _edge(first_at + seconds, interval), _edge(-last_at, interval))


def _edge(distance: Floats, interval: Floats) -> Floats:
    """How far to extrapolate towards an edge of the window."""
    return np.where(distance >= interval * _GAP, interval / 2.0, distance)


def _cut(node: Range, whole: Windows, ends: Floats, context: Context) -> Iterator[Span]:
    """Each step's part of one long window."""
    context.meter.spend(len(ends) * len(whole.time_counts) * _EDGE)
    low, high = _before(whole, milli(ends - node.seconds)), _before(whole, ends)
    series, width = len(whole.counts), int((high - low).max(initial=0))
    context.meter.spend(len(ends) * series * width)
    for steps in _blocks(len(ends), series * width):
        windows = _part(whole, low[steps], high[steps], ends[steps])
        yield Span(windows, node.seconds, ends[steps], steps, slice(0, series), series)


def _part(whole: Windows, low: Index, high: Index, ends: Floats) -> Windows:
    """The samples low..high of every row of times, for every step."""
    steps, lines = low.shape
    width = max(1, int((high - low).max(initial=0)))
    slots = np.clip(low[:, :, None] + np.arange(width), 0, np.maximum(high - 1, 0)[:, :, None])
    times = milli(whole.time_rows[np.arange(lines)[:, None], slots] - ends[:, None, None])
    of = np.arange(lines) if whole.time_of is None else whole.time_of
    series, counts = len(of), high - low
    values = whole.values[np.arange(series)[:, None], slots[:, of]]
    return Windows(
        values=values.reshape(steps * series, width),
        counts=counts[:, of].reshape(-1),
        time_rows=times.reshape(steps * lines, width),
        time_counts=counts.reshape(-1),
        time_of=None if whole.time_of is None else (np.arange(steps)[:, None] * lines + of).reshape(-1),
    )


def _before(windows: Windows, moments: Floats) -> Index:
    """How many samples of each row of times are not later than a moment: [moment, row]."""
    lines, width = windows.time_rows.shape
    times = np.rint(windows.time_rows * 1000).astype(np.int64)
    valid = np.arange(width) < windows.time_counts[:, None]
    base = int(times.min(initial=0, where=valid)) if not valid.any() else int(times[valid].min())
    asked = np.rint(moments * 1000).astype(np.int64) - base
    size = int(max(times.max(initial=0, where=valid) - base, 0)) + 2
    begins = np.arange(lines) * size
    keys = np.where(valid, times - base, size - 1) + begins[:, None]
    places = np.searchsorted(keys.reshape(-1), begins + np.clip(asked, -1, size - 2)[:, None], side="right")
    return np.asarray(places - np.arange(lines) * width, np.intp)


def _of_subquery(node: Subquery, context: Context, vectors: Vectors) -> Ranged:
    """The operand is evaluated once for every step that any window needs."""
    ends = moments(node, context)
    step = round(node.step * 1000)
    stamps = np.rint(ends * 1000).astype(np.int64)
    first, last = (stamps - round(node.seconds * 1000)) // step + 1, stamps // step
    width = max(0, int((last - first).max()) + 1)
    context.meter.spend(len(ends) * width * _PLACE)
    columns = first[:, None] + np.arange(width)
    wanted = columns <= last[:, None]
    grid = np.unique(columns[wanted])
    if not len(grid):
        none = np.zeros((len(ends), 0), np.bool_)
        return Ranged(Rows(Frame(context.symbols, {}, 0), np.zeros(none.shape), none, none, none), iter(()))
    rows = vectors(node.operand, replace(context, times=grid * step / 1000.0))
    places = np.minimum(np.searchsorted(grid, columns), len(grid) - 1)
    newest = rows.at(places[np.arange(len(ends)), np.maximum(last - first, 0)])
    newest = replace(newest, known=newest.known & (last >= first)[:, None])  # a window without a step proves nothing
    return Ranged(newest, _subspans(node, context, rows, ends, places, wanted, grid * step / 1000.0))


def _subspans(
    node: Subquery, context: Context, rows: Rows, ends: Floats, places: Index, wanted: Mask, grid: Floats
) -> Iterator[Span]:
    series, width = rows.frame.size, places.shape[1]
    context.meter.spend(len(ends) * series * width)
    for steps in _blocks(len(ends), series * width):
        chosen = places[steps]
        values = rows.values[chosen].transpose(0, 2, 1).reshape(-1, width)
        real = (rows.present[chosen] & wanted[steps][:, :, None]).transpose(0, 2, 1).reshape(-1, width)
        times = np.repeat(milli(grid[chosen] - ends[steps][:, None]), series, axis=0)
        windows = _closed(values, times, real)
        yield Span(windows, node.seconds, ends[steps], steps, slice(0, series), series)


def _closed(values: Floats, times: Floats, real: Mask) -> Windows:
    """What is real moved to the left, the last one repeated after it; a row without anything is 0."""
    counts = real.sum(axis=1)
    order = np.argsort(~real, axis=1, kind="stable")
    columns = np.minimum(np.arange(real.shape[1]), np.maximum(counts - 1, 0)[:, None])
    order = np.take_along_axis(order, columns, axis=1)
    some = (counts > 0)[:, None]
    values = np.where(some, np.take_along_axis(values, order, axis=1), 0.0)
    times = np.where(some, np.take_along_axis(times, order, axis=1), 0.0)
    return Windows(values, counts, times, counts, None)


def _blocks(steps: int, each: int) -> Iterator[slice]:
    """The steps in runs that are not too big for memory."""
    run = max(1, _BLOCK // max(1, each))
    return (slice(begin, min(begin + run, steps)) for begin in range(0, steps, run))
