"""A host's samples taken out of its blocks, to be put into others. Plain arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.head.demand import ALL, CHART_SECONDS, CHART_STEP, LENGTHS, NEWEST, THIN
from collector.head.host import Host
from collector.head.slab import STALE, listed

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Piece:
    """A block's samples: table rows, times, and a row of values per series."""

    rows: NDArray[np.int32]
    times: _Floats
    values: _Floats
    thin: bool


@dataclass(frozen=True, slots=True)
class History:
    """Everything a host has, thinned samples first."""

    pieces: tuple[Piece, ...]
    marked: float

    @classmethod
    def of(cls, host: Host, *, newest: bool = True) -> "History":
        """Copies of a host's blocks; those of which only the newest samples are kept, if they are asked for."""
        blocks = sorted(host.blocks.values(), key=lambda block: block.kind != THIN)
        pieces = []
        for block in blocks:
            if block.kind == NEWEST and not newest:
                continue
            slab, index = block.slab, block.index
            begin, end = int(slab.begin[index]), int(slab.end[index])
            times, values = slab.times[index, begin:end].copy(), slab.values[block.spots, begin:end].copy()
            pieces.append(Piece(listed(block.rows), times, values, block.kind == THIN))
        return cls(tuple(pieces), max((float(b.slab.marked[b.index]) for b in blocks), default=0.0))

    def times_for(self, kind: int, retention: float) -> _Floats:
        """The times a block of a kind keeps of these."""
        found = [piece.times for piece in self.pieces if kind == THIN or not piece.thin]
        times = np.unique(np.concatenate(found)) if found else np.zeros(0)
        if kind == NEWEST or not len(times):
            return times[-2:]
        length = CHART_SECONDS if kind == THIN else LENGTHS[kind] if kind < ALL else retention
        times = times[times >= times[-1] - length - CHART_STEP]
        return np.asarray(times[_apart(times)] if kind == THIN else times)

    def values(self, rows: NDArray[np.int32], times: _Floats) -> _Floats:
        """A row of values per series, a column per time, STALE where there is none."""
        made = np.full((len(rows), len(times)), STALE)
        for piece in self.pieces:
            here, there = common(rows, piece.rows)
            if len(here):
                column, source = common(times, piece.times)
                made[here[:, None], column] = piece.values[there[:, None], source]
        return made


def common(some: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places in both of what both have; nothing comes twice in either."""
    if not len(others):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    order = np.argsort(others)
    found = np.searchsorted(others, some, sorter=order)
    place = order[np.minimum(found, len(others) - 1)]
    mine = np.flatnonzero(others[place] == some)
    return mine, place[mine]


def _apart(times: _Floats) -> NDArray[np.intp]:
    """Of times in order those that keep the charts' distance; the newest may come sooner."""
    kept = [0]
    for place in range(1, len(times)):
        if times[place] - times[kept[-1]] >= CHART_STEP:
            kept.append(place)
    return np.array(kept, np.intp)
