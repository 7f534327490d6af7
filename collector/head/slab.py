"""Sample memory of one depth: a row of values per series, a row of times per block (series that share their slots).

Slots of a block run from `begin` to `end`. A series without a sample in a slot holds STALE. Nothing here knows a label.
"""

import struct
from array import array

import numpy as np
from numpy.typing import NDArray

STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
_STALE_BITS = np.int64(0x7FF0000000000002)
_STALE = np.array([_STALE_BITS]).view(np.float64)
_FIRST = 64
_LARGE = 100_000  # from here on arrays grow by an eighth: their memory is not free

Run = slice | NDArray[np.int32]  # numbers of rows; a slice where they follow each other


class Slab:
    """`slots` slots of every row and block. Rows and blocks are numbers given out here."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.samples = 0  # slots times rows, over all blocks
        self.values = np.zeros((_FIRST, slots), np.float64)
        self.times = np.zeros((_FIRST, slots), np.float64)
        self.begin = np.zeros(_FIRST, np.int32)
        self.end = np.zeros(_FIRST, np.int32)
        self.width = np.zeros(_FIRST, np.int32)  # rows of a block
        self.marked = np.zeros(_FIRST, np.float64)  # time of the last slot that says "the host is silent"
        self._rows = self._blocks = 0
        self._free_rows = array("i")
        self._free_blocks = array("i")

    @property
    def bytes(self) -> int:
        """Memory of the arrays."""
        return self.values.nbytes + self.times.nbytes + 20 * len(self.begin)

    def add_rows(self, block: int, count: int) -> NDArray[np.int32]:
        """Rows without a sample for new series of a block, one after the other where possible."""
        if 0 < count <= len(self._free_rows):
            rows = np.sort(np.array(self._free_rows[-count:], np.int32))
            del self._free_rows[-count:]
        else:
            rows = np.arange(self._rows, self._rows + count, dtype=np.int32)
            self._rows += count
            if self._rows >= len(self.values):  # one row stays spare: a window may be read a little too far
                # refcheck off: nobody keeps a view of this array.
                self.values.resize((_grown(self._rows + 1, len(self.values)), self.slots), refcheck=False)
        self.values[run(rows)] = _STALE
        self.width[block] += count
        self.samples += count * int(self.end[block] - self.begin[block])
        return rows

    def free_rows(self, block: int, rows: NDArray[np.int32]) -> None:
        """These series of a block are gone."""
        self._free_rows.extend(rows.tolist())
        self.width[block] -= len(rows)
        self.samples -= len(rows) * int(self.end[block] - self.begin[block])

    def add_block(self) -> int:
        """A block without slots and rows."""
        if self._free_blocks:
            block = self._free_blocks.pop()
        else:
            block, self._blocks = self._blocks, self._blocks + 1
            if self._blocks >= len(self.times):
                size = _grown(self._blocks + 1, len(self.times))
                self.times.resize((size, self.slots), refcheck=False)
                for each in (self.begin, self.end, self.width, self.marked):
                    each.resize(size, refcheck=False)
        self.begin[block] = self.end[block] = self.width[block] = 0
        self.marked[block] = 0.0
        return block

    def free_block(self, block: int, rows: NDArray[np.int32]) -> None:
        """The block and the rows it still has are gone."""
        self.free_rows(block, rows)
        self._free_blocks.append(block)

    def sparse(self, part: int, much: int) -> bool:
        """True when less than one `part` of its rows is in use and it is larger than `much` bytes."""
        return (self._rows - len(self._free_rows)) * part < self._rows and self.bytes > much

    def trim(self) -> None:
        """Give the memory back when nothing is in it."""
        if self._rows and len(self._free_rows) == self._rows:
            self._rows = 0
            self._free_rows = array("i")
            self.values = np.zeros((_FIRST, self.slots), np.float64)
        if self._blocks and len(self._free_blocks) == self._blocks:
            self._blocks = 0
            self._free_blocks = array("i")
            self.times = np.zeros((_FIRST, self.slots), np.float64)
            self.begin, self.end, self.width = (np.zeros(_FIRST, np.int32) for _ in range(3))
            self.marked = np.zeros(_FIRST, np.float64)

    def newest(self, block: int) -> float | None:
        """Time of a block's newest slot, None without any."""
        end = self.end[block]
        return float(self.times[block, end - 1]) if end > self.begin[block] else None

    def behind(self, block: int, at: float) -> tuple[int, float] | None:
        """Where a slot of this time goes behind all others, and the time of the one before; None without room."""
        end = self.end.item(block)
        if end == self.slots or end == self.begin.item(block):
            return None
        newest = self.times.item(block, end - 1)
        return (end, newest) if newest < at else None

    def position(self, block: int, at: float) -> int | None:
        """Where a slot of this time goes; None where there is one already."""
        begin, end = int(self.begin[block]), int(self.end[block])
        if end == begin or self.times[block, end - 1] < at:
            return end
        place = begin + int(np.searchsorted(self.times[block, begin:end], at))
        return None if self.times[block, place] == at else place

    def open_slot(self, block: int, rows: Run, place: int, at: float) -> None:
        """Open a slot at `place` (there must be room), later ones move up; all rows of the block are STALE in it."""
        end = int(self.end[block])
        if place < end:
            self.times[block, place + 1 : end + 1] = self.times[block, place:end].copy()
            self.values[rows, place + 1 : end + 1] = self.values[rows, place:end].copy()
        self.times[block, place] = at
        self.values[rows, place] = _STALE
        self.end[block] = end + 1
        self.samples += int(self.width[block])

    def push(self, block: int, at: float) -> int:
        """A slot behind all others (there must be room) that the caller fills."""
        end = int(self.end[block])
        self.times[block, end] = at
        self.end[block] = end + 1
        self.samples += int(self.width[block])
        return end

    def push_all(
        self, blocks: NDArray[np.intp], rows: NDArray[np.intp], at: float, values: NDArray[np.float64]
    ) -> None:
        """A slot behind all others for many blocks of one row each."""
        end = self.end[blocks]
        self.times[blocks, end] = at
        self.values[rows, end] = values
        self.end[blocks] = end + 1
        self.samples += len(blocks)

    def keep_newest(self, blocks: NDArray[np.intp], rows: NDArray[np.intp], slots: int) -> None:
        """Room in many full blocks of one row each: all but the newest slots of each are forgotten."""
        self.times[blocks, :slots] = self.times[blocks, -slots:]
        self.values[rows, :slots] = self.values[rows, -slots:]
        self.samples -= int((self.slots - slots - self.begin[blocks]).sum())
        self.begin[blocks], self.end[blocks] = 0, slots

    def drop(self, block: int, slots: int) -> None:
        """Forget the oldest slots."""
        self.begin[block] += slots
        self.samples -= slots * int(self.width[block])

    def expire(self, block: int, oldest: float) -> None:
        """Forget the slots of a block before a time."""
        begin, end = self.begin.item(block), self.end.item(block)
        if begin < end and self.times.item(block, begin) < oldest:
            self.drop(block, int(self.times[block, begin:end].searchsorted(oldest)))

    def slide(self, block: int, rows: Run) -> None:
        """Move the slots to the front, so that there is room behind them."""
        begin, end = self.begin.item(block), self.end.item(block)
        self.times[block, : end - begin] = self.times[block, begin:end]
        if isinstance(rows, slice):
            # In one piece: what comes from the next row lands where nothing is kept. Not by numpy, which gives the
            # interpreter away for more than 500 numbers and waits long to get it back.
            line = self.values[rows].data.cast("B")
            line[: len(line) - 8 * begin] = line[8 * begin :]
        else:
            self.values[rows, : end - begin] = self.values[rows, begin:end]
        self.begin[block], self.end[block] = 0, end - begin

    def empty_rows(self, block: int, rows: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of a block's rows have no sample left."""
        return np.asarray(stale(self.values[rows, self.begin[block] : self.end[block]]).all(axis=1))


def stale(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where values are the staleness marker; an ordinary NaN is a value."""
    return np.asarray(np.ascontiguousarray(values).view(np.int64) == _STALE_BITS)


def run(rows: NDArray[np.int32]) -> Run:
    """The same numbers as a slice where they follow each other: smaller to keep, faster to use."""
    if len(rows) and int(rows[-1]) - int(rows[0]) == len(rows) - 1 and bool((rows[1:] - rows[:-1] == 1).all()):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows.astype(np.int32)


def listed(rows: Run) -> NDArray[np.int32]:
    """The numbers of a run."""
    return np.arange(rows.start, rows.stop, dtype=np.int32) if isinstance(rows, slice) else rows


def _grown(needed: int, size: int) -> int:
    return max(needed, size + size // 8 if size > _LARGE else size * 2)
