"""Where the samples of a selection are: blocks of slabs, and each series' row among them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.head.slab import Slab

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]
Rows = slice | Indices


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

    @property
    def places(self) -> Indices:
        """Their places in the selection."""
        return np.arange(len(self.base)) if self.series is None else self.series

    def some(self, rows: Rows | Mask) -> "Part":
        """Some of the series."""
        return Part(self.plane, self.places[rows], self.block_of[rows], self.base[rows])


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


def first(plane: Plane) -> Floats:
    """Time of the oldest slot of each block, infinite without any."""
    slab, blocks = plane.slab, plane.blocks
    begin, end = slab.begin[blocks], slab.end[blocks]
    return np.where(end > begin, slab.times[blocks, np.minimum(begin, slab.slots - 1)], np.inf)


def firsts(parts: Iterable[Part], size: int) -> Floats:
    """The same for each series."""
    found = np.full(size, np.inf)
    for part in parts:
        found[slice(None) if part.series is None else part.series] = first(part.plane)[part.block_of]
    return found
