"""The newest sample of every series of a selection, at one moment or at many."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.head.place import Floats, Indices, Part, Plane, after
from collector.head.slab import stale


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
class Look:
    """The newest slot of each block: which one, its time (infinite without any), and what it tells of its series.

    At many moments each array has a first axis of moments.
    """

    slot: Indices
    times: Floats
    fresh: NDArray[np.bool_]
    spoke: NDArray[np.bool_]
    current: bool  # all are fresh


def look_at(plane: Plane, start: float, end: float) -> Look:
    """The newest slot later than `start`, up to `end`."""
    return looked(plane, start, after(plane, end))


def looked(plane: Plane, start: Floats | float, high: Indices) -> Look:
    """The slots later than `start`. `high`: the first slot of each block that is later than the span's end."""
    slab, blocks = plane.slab, plane.blocks
    slot = np.maximum(high - 1, 0)
    times = slab.times[blocks, slot]
    some = high > slab.begin[blocks]
    fresh, spoke = some & (times > start), some & (times != slab.marked[blocks])
    return Look(slot, np.where(some, times, np.inf), fresh, spoke, bool(fresh.all()))


def counted(plane: Plane, moments: Floats) -> Indices:
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


def latest_of(part: Part, look: Look) -> Latest:
    """The samples in these slots."""
    block_of = part.block_of
    values = part.plane.slab.values.reshape(-1).take(part.base + look.slot.take(block_of, axis=-1))
    ended = stale(values)
    if look.current and not ended.any():
        return Latest(values, look.times, block_of, ~ended, ended)
    present = look.fresh.take(block_of, axis=-1) & ~ended
    return Latest(values, look.times, block_of, present, ~present & ~(ended & look.spoke.take(block_of, axis=-1)))


def where(mask: NDArray[np.bool_], one: Latest, other: Latest) -> Latest:
    """One where the mask says so, elsewhere the other."""
    return Latest(
        np.where(mask, one.values, other.values),
        np.where(mask, one.times, other.times),
        None,
        np.where(mask, one.present, other.present),
        np.where(mask, one.lost, other.lost),
    )


def spread(parts: Iterable[tuple[Part, Latest]], shape: tuple[int, ...]) -> Latest:
    """One answer of the parts' answers; a series that is in no part is lost."""
    none = np.zeros(shape, np.bool_)
    whole = Latest(np.zeros(shape), np.full(shape, -np.inf), None, none, ~none)
    for part, found in parts:
        at = slice(None) if part.series is None else part.series
        whole.values[..., at], whole.time_rows[..., at] = found.values, found.times
        whole.present[..., at], whole.lost[..., at] = found.present, found.lost
    return whole
