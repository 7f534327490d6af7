"""Which block of which slab a host's series of one kind are in; blocks that need more slots move to a deeper slab."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from collector.head.demand import ALL, CHART_SECONDS, CHART_STEP, KINDS, LENGTHS, NEWEST, THIN, first_of, slots_of
from collector.head.place import Part, Plane
from collector.head.slab import Run, Slab, listed, run

_KEPT_OF_NEWEST = 2
_SPARSE = 8  # a slab of which less than this part is in use is given up
_MUCH = 1 << 20  # bytes


@dataclass(slots=True)
class Block:
    """Series of one host that share their slots: their rows in the table, and in the same order in the slab."""

    host: int
    kind: int
    most: int  # slots it may have
    slab: Slab
    index: int
    rows: Run
    spots: Run

    @property
    def size(self) -> int:
        """How many series."""
        return self.rows.stop - self.rows.start if isinstance(self.rows, slice) else len(self.rows)

    def ended(self, used: NDArray[np.int32]) -> NDArray[np.int32]:
        """Its rows that are not among these and have no sample left."""
        rows = listed(self.rows)
        lost = ~np.isin(rows, used)
        if not lost.any():
            return rows[:0]
        return rows[lost][self.slab.empty_rows(self.index, listed(self.spots)[lost])]

    @property
    def newest(self) -> float | None:
        """Time of the newest slot, None without any."""
        return self.slab.newest(self.index)

    def wanted(self, at: float, newest: float, place: int, retention: float) -> bool:
        """False for what is too old to be kept, and for charts what is too close to another sample."""
        if at > newest:
            return self.kind != THIN or at - newest >= CHART_STEP
        slab, index = self.slab, self.index
        begin, end = int(slab.begin[index]), int(slab.end[index])
        if self.kind == THIN and place > begin and at - slab.times[index, place - 1] < CHART_STEP:
            return False
        full = end - begin >= slab.slots // 2 and slab.slots >= self.most
        return at >= newest - retention and not (place == begin and full)

    def open_slot(self, place: int, at: float, *, filled: bool) -> None:
        """A slot at `place`; its series are STALE there unless the caller has a value for each."""
        if filled and place == self.slab.end[self.index]:
            self.slab.push(self.index, at)
        else:
            self.slab.open_slot(self.index, self.spots, place, at)


class Memory:
    """All slabs. `spot[row]` and `thin[row]` are a row's places in the slab of its kind and in that of the charts."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.slabs: list[Slab] = []
        self._by_depth: dict[int, int] = {}
        self.kind = np.zeros(64, np.int8)
        self.spot = np.zeros(64, np.int32)
        self.thin = np.full(64, -1, np.int32)
        self.slab_of = np.full((KINDS, 64), -1, np.int16)
        self.block_of = np.zeros((KINDS, 64), np.int32)
        self.own = np.zeros(64, np.bool_)  # hosts that are one of the collector's own series
        self._shared: WeakValueDictionary[bytes, NDArray[np.int32]] = WeakValueDictionary()
        self._planes: WeakValueDictionary[tuple[int, bytes], Plane] = WeakValueDictionary()
        self.layout = 0  # changes when rows that exist move

    @property
    def bytes(self) -> int:
        """Memory of the arrays."""
        own = (self.kind, self.spot, self.thin, self.slab_of, self.block_of)
        return sum(slab.bytes for slab in self.slabs) + sum(each.nbytes for each in own)

    @property
    def samples(self) -> int:
        """Slots times series, kept as it changes."""
        return sum(slab.samples for slab in self.slabs)

    def reserve(self, rows: int, hosts: int) -> None:
        """Make room for this many rows of the table and hosts."""
        if rows > len(self.kind):
            more = max(rows, len(self.kind) * 5 // 4) - len(self.kind)
            self.kind = np.concatenate([self.kind, np.zeros(more, np.int8)])
            self.spot = np.concatenate([self.spot, np.zeros(more, np.int32)])
            self.thin = np.concatenate([self.thin, np.full(more, -1, np.int32)])
        known = self.slab_of.shape[1]
        if hosts > known:
            more = max(hosts, known * 3 // 2) - known
            self.slab_of = np.concatenate([self.slab_of, np.full((KINDS, more), -1, np.int16)], axis=1)
            self.own = np.concatenate([self.own, np.zeros(more, np.bool_)])
            self.block_of = np.concatenate([self.block_of, np.zeros((KINDS, more), np.int32)], axis=1)

    def open(self, host: int, kind: int, most: int, slots: int = 0) -> Block:
        """An empty block for a host's series of a kind; of `slots` slots, or as many as the kind begins with."""
        depth = slots or first_of(kind, slots_of(kind, self.interval, most))
        slab = self._slab(depth)
        nothing = np.zeros(0, np.int32)
        block = Block(host, kind, max(depth, most), slab, slab.add_block(), nothing, nothing)
        self.slab_of[kind, host] = self._by_depth[depth]
        self.block_of[kind, host] = block.index
        return block

    def add(self, block: Block, rows: NDArray[np.int32]) -> None:
        """More series of the block, without a sample."""
        spots = block.slab.add_rows(block.index, len(rows))
        block.rows = run(np.concatenate([listed(block.rows), rows]))
        block.spots = run(np.concatenate([listed(block.spots), spots]))
        self._note(block, rows, spots)

    def remove(self, block: Block, rows: NDArray[np.int32]) -> None:
        """These series are not the block's any more."""
        mine, spots = listed(block.rows), listed(block.spots)
        gone = np.isin(mine, rows)
        block.slab.free_rows(block.index, spots[gone])
        block.rows, block.spots = run(mine[~gone]), run(spots[~gone])
        if block.kind == THIN:
            self.thin[mine[gone]] = -1

    def close(self, block: Block) -> None:
        """The block is gone with all it has."""
        block.slab.free_block(block.index, listed(block.spots))
        self.slab_of[block.kind, block.host] = -1
        if block.kind == THIN:
            self.thin[listed(block.rows)] = -1

    def make_room(self, block: Block, oldest: float) -> None:
        """Room for one more slot: drop what is too old, else grow, and at the limit drop the oldest eighth."""
        slab, index = block.slab, block.index
        if slab.end[index] < slab.slots:
            return
        if block.kind == NEWEST:
            slab.drop(index, slab.slots - int(slab.begin[index]) - _KEPT_OF_NEWEST)
        else:
            length = CHART_SECONDS if block.kind == THIN else LENGTHS[block.kind] if block.kind < ALL else np.inf
            slab.expire(index, max(oldest, float(slab.times[index, slab.slots - 1]) - length))
            if slab.begin[index] < max(1, slab.slots // 16):
                if slab.slots < block.most:
                    self._deepen(block)
                    return
                slab.drop(index, max(1, slab.slots // 8))
        slab.slide(index, block.spots)

    def load(self, block: Block, times: NDArray[np.float64], values: NDArray[np.float64], marked: float) -> None:
        """Samples of a block that has none yet: a row of values per series, a column per time."""
        slab, index = block.slab, block.index
        slab.times[index, : len(times)] = times
        slab.values[block.spots, : len(times)] = values
        slab.end[index] = len(times)
        slab.marked[index] = marked
        slab.samples += len(times) * block.size

    def parts(
        self,
        series: NDArray[np.intp],
        hosts: NDArray[np.int32],
        kinds: NDArray[np.integer[Any]],
        spots: NDArray[np.int32],
        size: int,
    ) -> tuple[Part, ...]:
        """The slabs these series' samples are in, `series` being their places among `size` of a selection."""
        slabs, blocks = self.slab_of[kinds, hosts], self.block_of[kinds, hosts]
        found = []
        for number in np.unique(slabs).tolist():
            mine = np.flatnonzero(slabs == number)
            slab = self.slabs[number]
            distinct, block_of = np.unique(blocks[mine], return_inverse=True)
            places = None if len(mine) == size else series[mine]
            base = spots[mine].astype(np.intp) * slab.slots
            plane = self._plane(number, distinct.astype(np.intp))
            found.append(Part(plane, places, block_of.reshape(-1).astype(np.intp), base))
        return tuple(found)

    def _plane(self, number: int, blocks: NDArray[np.intp]) -> Plane:
        """These blocks of a slab, the same object as long as anybody uses it."""
        key = number, blake2b(blocks.tobytes(), digest_size=16).digest()
        made = Plane(self.slabs[number], blocks)
        return self._planes.setdefault(key, made)

    def trim(self) -> None:
        """Give back the memory of slabs nothing is in."""
        for slab in self.slabs:
            slab.trim()

    def leave(self, block: Block) -> None:
        """To a slab with more slots if hardly any block is left in this one, so that its memory comes free."""
        if block.slab.sparse(_SPARSE, _MUCH) and block.kind != NEWEST and block.slab.slots < block.most:
            self._deepen(block)

    def shared(self, numbers: Run) -> Run:
        """The same numbers, in an array that all hosts with the same series have in common."""
        return numbers if isinstance(numbers, slice) else self._shared.setdefault(numbers.tobytes(), numbers)

    def _deepen(self, block: Block) -> None:
        """To a slab with more slots."""
        old, index, spots = block.slab, block.index, block.spots
        slots = old.slots + max(8, old.slots // 2)
        usual = slots_of(block.kind, self.interval, block.most)
        slots = min(block.most, usual if old.slots < usual < slots else slots)
        slab = self._slab(slots)
        begin, end = int(old.begin[index]), int(old.end[index])
        block.slab, block.index = slab, slab.add_block()
        rows = listed(block.rows)
        moved = slab.add_rows(block.index, len(rows))
        slab.times[block.index, : end - begin] = old.times[index, begin:end]
        block.spots = run(moved)
        slab.values[block.spots, : end - begin] = old.values[spots, begin:end]
        slab.end[block.index] = end - begin
        slab.marked[block.index] = old.marked[index]
        slab.samples += (end - begin) * len(rows)
        old.free_block(index, listed(spots))
        self.slab_of[block.kind, block.host] = self._by_depth[slots]
        self.block_of[block.kind, block.host] = block.index
        self._note(block, rows, moved)
        self.layout += 1

    def _note(self, block: Block, rows: NDArray[np.int32], spots: NDArray[np.int32]) -> None:
        if block.kind == THIN:
            self.thin[rows] = spots
        else:
            self.kind[rows] = block.kind
            self.spot[rows] = spots

    def _slab(self, depth: int) -> Slab:
        if depth not in self._by_depth:
            self._by_depth[depth] = len(self.slabs)
            self.slabs.append(Slab(depth))
        return self.slabs[self._by_depth[depth]]


def push_each(blocks: Sequence[Block], at: float, values: NDArray[np.float64]) -> NDArray[np.intp]:
    """One scatter a slab for all blocks of one series that are older than `at` and have room.

    The places of the others come back.
    """
    depth = np.array([block.slab.slots for block in blocks], np.intp)
    index = np.array([block.index for block in blocks], np.intp)
    spots = np.array([block.spots.start for block in blocks if isinstance(block.spots, slice)], np.intp)
    newest = np.array([block.kind == NEWEST for block in blocks], np.bool_)
    late = np.zeros(len(blocks), np.bool_)
    for slots in np.unique(depth).tolist():
        mine = np.flatnonzero(depth == slots)
        slab = blocks[int(mine[0])].slab
        begin, end = slab.begin[index[mine]], slab.end[index[mine]]
        newer = (end == begin) | (slab.times[index[mine], np.maximum(end - 1, 0)] < at)
        full = newest[mine] & (end == slots) & (begin <= slots - _KEPT_OF_NEWEST)
        slab.keep_newest(index[mine[newer & full]], spots[mine[newer & full]], _KEPT_OF_NEWEST)
        ready = newer & (full | (end < slots))
        late[mine[~ready]] = True
        mine = mine[ready]
        slab.push_all(index[mine], spots[mine], at, values[mine])
    return np.flatnonzero(late)
