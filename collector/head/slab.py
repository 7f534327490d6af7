"""Sample memory: one value row per series, one time row per host, in two arrays that grow together.

Slots of a host run from `begin` to `end`; all its series share them. A series without a sample in a slot holds STALE.
"""

import struct

import numpy as np
from numpy.typing import NDArray

STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
_STALE_BITS = np.int64(0x7FF0000000000002)
_STALE = np.array([_STALE_BITS]).view(np.float64)
_FIRST_SLOTS = 32


class Slab:
    """Rows of values and times. Rows and slots are numbers the head gives; nothing here knows a label."""

    def __init__(self, max_slots: int) -> None:
        self.max_slots = max_slots
        self.slots = min(_FIRST_SLOTS, max_slots)
        self.values = np.empty((64, self.slots), np.float64)
        self.times = np.zeros((64, self.slots), np.float64)
        self.begin = np.zeros(64, np.intp)
        self.end = np.zeros(64, np.intp)
        self.marked = np.zeros(64, np.float64)  # time of the last slot that says "the host is silent"

    @property
    def bytes(self) -> int:
        """Memory of the arrays."""
        return self.values.nbytes + self.times.nbytes + self.begin.nbytes + self.end.nbytes

    def reserve_rows(self, rows: int) -> None:
        """Make room for this many series."""
        if rows > len(self.values):
            # refcheck off: selections keep row numbers, never views of this array.
            self.values.resize((max(rows, len(self.values) * 3 // 2), self.slots), refcheck=False)

    def reserve_hosts(self, hosts: int) -> None:
        """Make room for this many hosts."""
        if hosts > len(self.times):
            size = max(hosts, len(self.times) * 3 // 2)
            self.times.resize((size, self.slots), refcheck=False)
            self.begin.resize(size, refcheck=False)
            self.end.resize(size, refcheck=False)
            self.marked.resize(size, refcheck=False)

    def clear_rows(self, rows: NDArray[np.intp]) -> None:
        """No samples in these rows."""
        self.values[rows] = _STALE

    def newest(self, host: int) -> float | None:
        """Time of a host's newest slot, None without any."""
        end = self.end[host]
        return float(self.times[host, end - 1]) if end > self.begin[host] else None

    def position(self, host: int, at: float) -> int | None:
        """Where a slot of this time goes; None where there is one already."""
        begin, end = int(self.begin[host]), int(self.end[host])
        if end == begin or self.times[host, end - 1] < at:
            return end
        place = begin + int(np.searchsorted(self.times[host, begin:end], at))
        return None if self.times[host, place] == at else place

    def open_slot(self, host: int, rows: NDArray[np.intp], place: int, at: float) -> None:
        """Open a slot at `place` (there must be room), later ones move up; all rows of the host are STALE in it."""
        end = int(self.end[host])
        if place < end:
            self.times[host, place + 1 : end + 1] = self.times[host, place:end].copy()
            self.values[rows, place + 1 : end + 1] = self.values[rows, place:end]
        self.times[host, place] = at
        self.values[rows, place] = _STALE
        self.end[host] = end + 1

    def make_room(self, host: int, rows: NDArray[np.intp], oldest: float) -> None:
        """Room for one more slot: drop what is older than `oldest`, grow, and at the limit drop the oldest eighth."""
        if self.end[host] < self.slots:
            return
        self.expire(host, oldest)
        if self.begin[host] < self.slots // 8:
            if self.slots < self.max_slots:
                self._grow(min(self.max_slots, self.slots + self.slots // 2))
                return
            self.begin[host] += max(1, self.slots // 8)
        self._slide(host, rows)

    def expire(self, host: int, oldest: float) -> None:
        """Forget the slots of a host before a time."""
        begin, end = int(self.begin[host]), int(self.end[host])
        self.begin[host] = begin + int(np.searchsorted(self.times[host, begin:end], oldest))

    def silent_since(self, hosts: NDArray[np.intp], oldest: float) -> NDArray[np.bool_]:
        """Which of these hosts have no slot since a time."""
        end = self.end[hosts]
        return np.asarray((end == self.begin[hosts]) | (self.times[hosts, np.maximum(end - 1, 0)] < oldest))

    def empty_rows(self, host: int, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of a host's rows have no sample left."""
        return np.asarray(stale(self.values[rows, self.begin[host] : self.end[host]]).all(axis=1))

    def _slide(self, host: int, rows: NDArray[np.intp]) -> None:
        begin, end = int(self.begin[host]), int(self.end[host])
        self.times[host, : end - begin] = self.times[host, begin:end].copy()
        self.values[rows, : end - begin] = self.values[rows, begin:end]
        self.begin[host], self.end[host] = 0, end - begin

    def _grow(self, slots: int) -> None:
        for name in ("values", "times"):
            old: NDArray[np.float64] = getattr(self, name)
            new = np.zeros((len(old), slots), np.float64)
            new[:, : self.slots] = old
            setattr(self, name, new)
        self.slots = slots


def stale(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where values are the staleness marker; an ordinary NaN is a value."""
    return np.asarray(np.ascontiguousarray(values).view(np.int64) == _STALE_BITS)
