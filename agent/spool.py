"""Batches until they are acknowledged: the newest in memory, on disk what waits longer than an interval.

A kill may cost what is younger than two intervals, so the disk has a whole one for each write.
Numbers: a batch's `seq` is its number here. What earlier runs left on disk has lower numbers, in the order it was
taken, and keeps the epoch and `seq` it has. Every loss is counted in `dropped` and told by the batch that comes next.
"""

import logging
from collections.abc import Iterator, Sequence
from itertools import takewhile

from agent.disk import Disk
from agent.errors import DiskDamagedError, DiskError, DiskFullError
from agent.events import Entry, Rewind
from agent.ring import MAX_AGE_NS, MAX_BYTES, Kept, Ring
from agent.rows import Books, Row
from czuwak.v1 import ingest_pb2 as pb

LOG = logging.getLogger(__name__)

# Numbers promised to a run at its start with one write, so that none is ever given twice: 7 years of 15 s.
BLOCK = 2**24
KEEP_ONE_IN = 4
_CHUNK = 64  # batches thinned, or a quarter of it dropped, at a time
_PIECE = 1024 * 1024  # bytes of one transaction
_SETTLED = 64  # acknowledged rows that may await their deletion
_END = 2**62


class Spool:
    """One agent's batches. One thread owns it. `epoch` names its sequence space unless the disk knows it."""

    def __init__(
        self, epoch: str, disk: Disk | None = None, *, interval: float = 15.0,
        max_age_ns: int = MAX_AGE_NS, max_bytes: int = MAX_BYTES,
    ) -> None:  # fmt: skip
        self.epoch = epoch
        self.next_seq = 1
        self.dropped = 0  # of this epoch, over all runs
        self.interval = interval
        self.trouble = ""  # why nothing is on disk, as a sentence
        self._ring = Ring(max_age_ns, max_bytes)
        self._disk = disk
        self._offset: int | None = None  # number = place on disk + offset
        self._held = 0  # rows on disk, when it was last seen
        self._settled: set[int] = set()  # places acknowledged, not deleted yet
        self._carry = 0  # lost right before the batch that is yet to come
        self._recovered = False
        if disk is not None:
            self._open(disk)

    @property
    def first_seq(self) -> int:
        """Oldest batch of this epoch that can still be sent; `next_seq` when there is none."""
        return min(self._ring.first(self.next_seq), self._oldest_stored())

    @property
    def oldest_queued(self) -> int:
        """Oldest batch of this epoch that waits for an acknowledgement; `next_seq` when none does."""
        if self._settled:
            self._write(())
        kept = next((kept.seq for kept in self._ring.kept.values() if not kept.acked), self.next_seq)
        return min(kept, self._oldest_stored())

    @property
    def batches(self) -> int:
        """How many batches wait for an acknowledgement, of all epochs."""
        return len(self._ring.loose) + self._held - len(self._settled)

    @property
    def size(self) -> int:
        """Bytes of everything in memory, schemas included."""
        return self._ring.size

    @property
    def stored(self) -> int:
        """Batches on disk."""
        return self._held

    @property
    def disk_bytes(self) -> int:
        """Bytes used on disk."""
        return self._disk.size if self._disk is not None and self._disk.ready else 0

    def recovered(self) -> bool:
        """Whether the disk has come back since it was last asked, with older batches."""
        was, self._recovered = self._recovered, False
        return was

    def add(self, batch: pb.Batch, schema: pb.Schema) -> Entry:
        """Keep a batch whose `seq` is `next_seq`; what has waited for an interval goes to disk."""
        data = batch.SerializeToString()
        kept = Kept(batch.seq, batch.boottime_ns, schema.hash, len(schema.series), data, self._carry)
        self._carry = 0
        self.next_seq = batch.seq + 1
        self._ring.add(kept, schema)
        self.keep_up(batch.boottime_ns)
        while (oldest := self._ring.surplus(batch.boottime_ns)) is not None:
            self._ring.remove(oldest.seq)
            if not oldest.acked and not oldest.stored:
                self._lost(oldest.seq, oldest.lost)
        return self._entry(kept)

    @property
    def next_due(self) -> int | None:
        """When, on the batches' clock, the oldest one in memory alone goes to disk: counted from its beginning."""
        oldest = next(iter(self._ring.loose), None)
        return None if oldest is None else self._ring.kept[oldest].boottime_ns + int(self.interval * 1e9)

    def keep_up(self, at_ns: int) -> None:
        """Put on disk what has waited for an interval by then, and what else has yet to be written."""
        disk = self._disk
        if disk is None or not (disk.ready or self._open(disk)):
            return
        aged = at_ns - int(self.interval * 1e9)
        due = list(takewhile(lambda seq: self._ring.kept[seq].boottime_ns <= aged, self._ring.loose))
        low = disk.books.reserved - self.next_seq < BLOCK // 2
        if due or self._settled or low or self.dropped != disk.books.dropped:
            self._write(due, reserved=self.next_seq + BLOCK if low else 0)

    def waiting(self, after: int, count: int, rewind: Rewind | None = None) -> tuple[Entry, ...]:
        """The oldest batches with a number over `after` that are to be sent; a rewind adds acknowledged ones."""
        found = [self._entry_of(row) for row in self._waiting_stored(after, count)]
        for seq, kept in self._ring.kept.items():
            if len(found) >= count:
                break
            if seq > after and (not kept.acked or (rewind is not None and rewind.wants(seq, kept.boottime_ns))):
                found.append(self._entry(kept))
        return tuple(found)

    def batch(self, number: int, lane: pb.Lane.ValueType) -> pb.Batch | None:
        """The batch, to be sent in this lane; None when it is gone."""
        kept = self._ring.kept.get(number)
        if kept is not None:
            batch = pb.Batch.FromString(kept.data)
            # Numbers that may yet be sent again after a rewind are not told to be lost.
            batch.lost_before = next((n for n in range(kept.lost) if number - 1 - n in self._ring.kept), kept.lost)
        elif (row := self._row(number)) is not None:
            batch = pb.Batch.FromString(row.data)
            batch.lost_before = row.lost
        else:
            return None
        batch.lane = lane
        return batch

    def schema(self, digest: bytes) -> pb.Schema | None:
        """A schema some kept batch needs; None when no such batch is left."""
        schema = self._ring.schema(digest)
        if schema is None and (disk := self._readable) is not None:
            try:
                return disk.schema(digest)
            except DiskError as error:
                self._fail(error)
        return schema

    def acknowledge(self, number: int) -> bool:
        """The collector has it for good; it stays for a rewind, its end is no loss. False: known before, or gone."""
        kept = self._ring.kept.get(number)
        if kept is None:
            return self._settle_stored(number)
        if kept.acked:
            return False
        if kept.stored:
            self._settled.add(self._place(number))
        self._ring.settle(kept)
        self._settle_some()
        return True

    def acknowledge_below(self, seq: int) -> int:
        """The collector has all of this epoch under `seq`; returns of how many that is news."""
        news = [kept for kept in self._ring.kept.values() if kept.seq < seq and not kept.acked]
        only_memory = [kept for kept in news if not kept.stored]
        for kept in news:
            self._ring.settle(kept)
            kept.stored = False
        return len(only_memory) + self._remove_below(seq)

    def discard(self, number: int) -> None:
        """The batch will never be taken: forget it, counted as lost unless it was acknowledged."""
        kept = self._ring.remove(number)
        if kept is None:
            if self._has(number):
                self._lost(number, 0, stored=True)
        elif not kept.acked:
            self._lost(number, kept.lost, stored=kept.stored)

    def flush(self) -> None:
        """Put everything that is not acknowledged on disk now."""
        if self._disk is not None and (self._disk.ready or self._open(self._disk)):
            self._write(tuple(self._ring.loose))
            if self._ring.loose:  # the file was made anew meanwhile
                self._write(tuple(self._ring.loose))

    def close(self) -> None:
        """Flush, give unused numbers back, and let go of the disk."""
        self.flush()
        if self._disk is not None and self._disk.ready:
            try:
                self._disk.change(self._books(reserved=self.next_seq))
            except DiskError as error:
                self._fail(error)
            self._disk.close()

    # --- opening ---

    def _open(self, disk: Disk) -> bool:
        try:
            disk.open()
            if self._offset is None and not self._ring.kept and self.next_seq == 1:
                self._take_over(disk)
            else:
                self._take_back(disk)
        except DiskError as error:
            disk.close()
            self._tell(error)
            return False
        if disk.missing:
            LOG.warning("The spool was damaged: %d batches are lost", disk.missing, extra={"action": "spool_damaged"})
        self._tell(None)
        return True

    def _take_over(self, disk: Disk) -> None:
        """At the start: go on with the numbers, if the disk lets us promise them."""
        books = disk.books
        epoch, first = (books.epoch, books.reserved) if books.epoch else (self.epoch, 1)
        dropped = books.dropped + disk.missing
        disk.change(Books(epoch, first + BLOCK, dropped, thinned=books.thinned))
        self.epoch, self.next_seq, self.dropped = epoch, first, dropped
        self._offset = first - 1 - disk.last
        self._held = disk.books.held

    def _take_back(self, disk: Disk) -> None:
        """Later on: compare what is there with what should be; our epoch and numbers go on."""
        first = self._ring.first(self.next_seq)
        known = self._offset is not None
        if self._offset is None:
            self._offset = first - 1 - disk.last
        here = {place + self._offset for place in disk.places(first - 1 - self._offset, _END)}
        kept = self._ring.kept
        # Of what only the disk had and nobody has acknowledged, so many should be there.
        alone = self._held - len(self._settled) - sum(k.stored and not k.acked for k in kept.values())
        self._settled = {place for place in self._settled if disk.has(place)}
        settled = sum(place + self._offset < first for place in self._settled)
        missing = max(0, alone - (disk.books.held - len(here) - settled)) if known else disk.missing
        for seq, each in kept.items():
            if each.stored != (seq in here):
                self._ring.saved(each, stored=seq in here)
        self._settled |= {seq - self._offset for seq in here if seq not in kept or kept[seq].acked}
        self.dropped += missing
        self._held = disk.books.held
        disk.change(self._books(reserved=self.next_seq + BLOCK))
        self._recovered |= self._held > len(here)

    def _books(self, *, reserved: int = 0, dropped: int = 0, thinned: int = 0) -> Books:
        now = self._disk.books if self._disk is not None else Books()
        return Books(
            self.epoch, reserved or now.reserved, self.dropped + dropped, thinned=max(thinned, now.thinned)
        )  # fmt: skip

    def _tell(self, error: DiskError | None) -> None:
        """Once per change, in the log; the state itself is in the report."""
        trouble = "" if error is None else str(error)
        if trouble and trouble != self.trouble:
            LOG.warning("Batches are kept in memory only: %s", trouble, extra={"action": "spool_trouble"})
        elif not trouble and self.trouble:
            LOG.info("Batches are kept on disk again", extra={"action": "spool_recovered"})
        self.trouble = trouble

    def _fail(self, error: DiskError) -> None:
        """Told; and what is damaged is made anew at once."""
        self._tell(error)
        if isinstance(error, DiskDamagedError) and self._disk is not None:
            self._open(self._disk)

    # --- writing ---

    def _write(self, seqs: Sequence[int], *, reserved: int = 0) -> None:
        disk = self._disk
        if disk is None or not disk.ready:
            return
        try:
            disk.change(self._books(reserved=reserved), remove=self._settled)
            self._after_change(disk)
            for piece in self._pieces(seqs):
                self._store(disk, piece)
            self._tell(None)
        except DiskError as error:
            self._fail(error)

    def _after_change(self, disk: Disk) -> None:
        for place in self._settled:
            kept = self._ring.kept.get(place + self._shift)
            if kept is not None:
                kept.stored = False
        self._settled.clear()
        self._held = disk.books.held

    def _store(self, disk: Disk, seqs: Sequence[int]) -> None:
        while True:
            kept = [self._ring.kept[seq] for seq in seqs if seq in self._ring.kept]
            rows = [
                Row(self._place(k.seq), self.epoch, k.seq, k.boottime_ns, k.schema, k.series, k.lost, k.data)
                for k in kept
            ]
            schemas = {k.schema: s for k in kept if (s := self._ring.schema(k.schema)) is not None}
            try:
                disk.change(self._books(), add=rows, schemas=schemas)
            except DiskFullError:
                if not self._make_room(disk):
                    raise
                continue
            for each in kept:
                self._ring.saved(each, stored=True)
            self._held = disk.books.held
            return

    def _pieces(self, seqs: Sequence[int]) -> Iterator[list[int]]:
        piece: list[int] = []
        size = 0
        for seq in seqs:
            piece.append(seq)
            size += len(self._ring.kept[seq].data)
            if size >= _PIECE:
                yield piece
                piece, size = [], 0
        if piece:
            yield piece

    # --- losing ---

    def _make_room(self, disk: Disk) -> bool:
        """Thin the oldest that are whole, or drop the oldest that are thinned; never what memory has as well."""
        end = self._place(self._ring.first(self.next_seq))
        thinned = min(disk.books.thinned, end - 1)
        old = disk.count(thinned)
        thin = disk.count(end - 1) - old >= old
        rows = disk.heads(thinned if thin else 0, end, _CHUNK if thin else _CHUNK // KEEP_ONE_IN)
        if not rows:
            return False
        keep = set(range(KEEP_ONE_IN - 1, len(rows), KEEP_ONE_IN)) if thin else set()
        gone = [row.place for n, row in enumerate(rows) if n not in keep]
        lost, carry = _passed_on(rows, keep)
        heir = self._heir(disk, rows[-1].place, rows[-1].epoch) if carry else None
        if isinstance(heir, Row):
            lost[heir.place] = heir.lost + carry
        disk.change(
            self._books(dropped=len(gone), thinned=rows[-1].place), remove=gone, lost=lost
        )  # fmt: skip
        self.dropped += len(gone)
        self._held = disk.books.held
        self._tell_heir(heir, carry, rows[-1].epoch)
        return True

    def _lost(self, number: int, lost: int, *, stored: bool = False) -> None:
        """One batch is gone before it was acknowledged; whatever comes next tells of it."""
        epoch, place, disk = self.epoch, self._place(number), self._disk
        heir: Row | Kept | None = None
        try:
            if stored and disk is not None:
                found = disk.heads(place - 1, place + 1, 1)
                epoch, lost = (found[0].epoch, found[0].lost) if found else (epoch, lost)
            heir = self._heir(disk, place, epoch)
            if disk is not None and (stored or isinstance(heir, Row)):
                changed = {heir.place: heir.lost + 1 + lost} if isinstance(heir, Row) else {}
                # With what was acknowledged: after a kill the heir would tell of its number as lost.
                gone = [*self._settled, *([place] if stored else [])]
                disk.change(self._books(dropped=1), remove=gone, lost=changed)
                self._after_change(disk)
        except DiskError as error:
            if stored:
                self._settled.add(place)
            epoch = ""  # who comes next cannot be known: only the count tells
            self._fail(error)
        self.dropped += 1
        self._tell_heir(heir, 1 + lost, epoch)

    def _heir(self, disk: Disk | None, place: int, epoch: str) -> Row | Kept | None:
        """The next batch of the epoch that waits, on disk or in memory."""
        number = place + self._shift
        kept = next((k for k in self._ring.kept.values() if k.seq > number and not k.acked), None)
        row = None
        if disk is not None and disk.ready and self._held:
            rows = disk.heads(place, _END, 1 + len(self._settled))
            row = next((row for row in rows if row.place not in self._settled), None)
        if row is not None and (kept is None or row.place + self._shift <= kept.seq):
            return row if row.epoch == epoch else None
        return kept if epoch == self.epoch else None

    def _tell_heir(self, heir: Row | Kept | None, count: int, epoch: str) -> None:
        kept = self._ring.kept.get(heir.place + self._shift) if isinstance(heir, Row) else heir
        if kept is not None:
            kept.lost += count
        elif heir is None and epoch == self.epoch:
            self._carry += count

    # --- what is on disk ---

    @property
    def _shift(self) -> int:
        return self._offset or 0

    @property
    def _readable(self) -> Disk | None:
        return self._disk if self._disk is not None and self._disk.ready and self._held else None

    def _place(self, number: int) -> int:
        return number - self._shift

    def _waiting_stored(self, after: int, count: int) -> list[Row]:
        if (disk := self._readable) is None or count <= 0:
            return []
        end = self._place(self._ring.first(self.next_seq))
        try:
            rows = disk.heads(max(0, self._place(after)), end, count + len(self._settled))
        except DiskError as error:
            self._fail(error)
            return []
        return [row for row in rows if row.place not in self._settled][:count]

    def _row(self, number: int) -> Row | None:
        if not self._has(number) or (disk := self._readable) is None:
            return None
        try:
            row = disk.read(self._place(number))
        except DiskError as error:
            self._fail(error)
            return None
        if row is None:
            LOG.warning("A batch on disk is damaged and lost", extra={"action": "spool_damaged"})
            self._lost(number, 0, stored=True)
        return row

    def _has(self, number: int) -> bool:
        place = self._place(number)
        if (disk := self._readable) is None or place in self._settled:
            return False
        try:
            return disk.has(place)
        except DiskError as error:
            self._fail(error)
            return False

    def _settle_stored(self, number: int) -> bool:
        if not self._has(number):
            return False
        self._settled.add(self._place(number))
        self._settle_some()
        return True

    def _settle_some(self) -> None:
        if len(self._settled) >= _SETTLED:
            self._write(())

    def _remove_below(self, seq: int) -> int:
        if self._readable is not None:
            self._write(())
        if (disk := self._readable) is None:
            return 0
        try:
            removed = disk.remove_below(self.epoch, seq, self._books())
        except DiskError as error:
            self._fail(error)
            return 0
        self._held = disk.books.held
        return removed

    def _oldest_stored(self) -> int:
        if (disk := self._readable) is None:
            return self.next_seq
        try:
            oldest = disk.oldest(self.epoch)
        except DiskError as error:
            self._fail(error)
            return self.next_seq
        return self.next_seq if oldest is None else oldest

    def _entry(self, kept: Kept) -> Entry:
        return Entry(kept.seq, self.epoch, kept.seq, kept.boottime_ns, kept.schema, kept.series, len(kept.data))

    def _entry_of(self, row: Row) -> Entry:
        number = row.place + self._shift
        return Entry(number, row.epoch, row.seq, row.boottime_ns, row.schema, row.series, row.size)


def _passed_on(rows: Sequence[Row], keep: set[int]) -> tuple[dict[int, int], int]:
    """What the kept rows now tell of the others before them, by place; and what is left for the one behind them."""
    lost: dict[int, int] = {}
    carry, epoch = 0, ""
    for n, row in enumerate(rows):
        carry = carry if row.epoch == epoch else 0  # numbers of another epoch: `dropped` alone tells of them
        epoch = row.epoch
        if n not in keep:
            carry += 1 + row.lost
        elif carry:
            lost[row.place] = row.lost + carry
            carry = 0
    return lost, carry
