"""The head: what hosts sent lately. Owned by one thread; every method is given its time.

A host's series share their time slots; recordings, ALERTS and presence are hosts of one series each.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from collector.head.answers import Answers
from collector.head.demand import ALL, CHART_STEP, NEWEST, THIN, Demand, Want, first_of, most_of, slots_of
from collector.head.errors import HeadError, UnknownSchemaError
from collector.head.found import Found, Selections
from collector.head.history import History, Piece, common
from collector.head.host import Host, Schema, split
from collector.head.matcher import Match, Matcher
from collector.head.memory import Block, Memory, push_each
from collector.head.place import Part, Place
from collector.head.record import Record
from collector.head.selection import Selection
from collector.head.series import SeriesTable
from collector.head.slab import STALE, run
from collector.labels import Labels

_KEPT_SCHEMAS = 4  # a reconnecting agent replays batches of its earlier schemas
_MARK = 0.001  # a marker that is not later than the newest sample comes this much after it
_OFTEN = 4  # own series come this much more often than a host's
_Mask = NDArray[np.bool_] | None
_Floats = NDArray[np.float64]
_Rows = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class HeadStats:
    """Sizes for the collector's own metrics; `samples` counts slots times series."""

    hosts: int
    series: int
    samples: int
    bytes: int


class Head:
    """Samples of every series as long as `demand` says: without it all of them for `retention` seconds.

    A series has at most `max_samples`, or what its window needs four times over. `interval` is how often a host
    usually sends, in seconds.
    """

    def __init__(self, *, retention: float = 3600.0, max_samples: int = 480, interval: float = 15.0) -> None:
        self.retention = retention
        self.max_samples = max_samples
        self._table = SeriesTable()
        self._memory = Memory(interval)
        self._demand = Demand()
        self._demands = 0
        self._hosts: dict[str, Host] = {}
        self._singles: dict[Labels, Host] = {}
        self._at: dict[int, Host] = {}
        self._owners: dict[str, set[Labels]] = {}
        self._free_hosts: list[int] = []
        self._host_count = 0
        self._found = Selections()
        self._answers = Answers()

    @property
    def interval(self) -> float:
        """Seconds between two rounds of a host, as the head was told."""
        return self._memory.interval

    def demand(self, wants: Iterable[Want], *, rest: float | None = 0.0) -> None:
        """Keep what these want, and everything else for `rest` seconds (0: the newest samples, None: the retention).

        Windows that get longer begin to fill, shorter ones are cut; of a host at its next batch.
        """
        self._answers.forget()
        self._demand = Demand(wants, rest)
        self._demands += 1
        self._table.own_sets.tags[:] = -1
        for block in self._singles.values():
            self._follow(block)

    def register(self, host: str, schema: bytes, series: Sequence[Labels], shared: Labels | None = None) -> None:
        """The host's batches of this schema have these series, in this order.

        `series` are label sets with `__name__`, whole, or without the labels of the host in `shared`. Series the host
        had before keep their history, those it has no more get a staleness marker with its next sample. Raises
        HeadError when a label set comes twice.
        """
        known = self._hosts.get(host)
        if known is not None and schema in known.schemas:
            known.schema = schema
            return
        shared, own = split(series) if shared is None else (shared, series)
        numbers = self._table.own_sets.held(own)
        if numbers is None:
            raise HeadError(f"host {host!r} has a label set twice in schema {schema.hex()}")
        if known is not None and known.shared != shared:
            self.remove(host)
            known = None
        self._extend(host, known or self._new_host(shared), schema, numbers)

    def append(self, host: str, schema: bytes, at: float, present: _Mask, values: _Floats) -> None:
        """One batch: a value per series of the schema, `present` False where the host has none this time.

        A time the host already has is ignored, an older one is merged as `append_old` does. Raises UnknownSchemaError,
        also when the host had no sample for so long that `compact` forgot it: register it again.
        """
        known = self._known(host, schema)
        known.schema = schema
        self._take(known, known.schemas[schema], at, present, values)

    def append_old(self, host: str, schema: bytes, at: float, present: _Mask, values: _Floats) -> None:
        """A batch of the past, merged in time order; beyond retention or twice, it is ignored."""
        known = self._known(host, schema)
        self._take(known, known.schemas[schema], at, present, values)

    def set(self, series: Sequence[Labels], values: Sequence[float], at: float, *, owner: str = "") -> None:
        """Values of series the collector makes itself; STALE as a value ends one.

        With an `owner` (a rule's uid), the series it set last time and does not set now end as well.
        """
        ended: list[Labels] = []
        if owner:
            now = set(series)
            ended = list(self._owners.get(owner, set()) - now)
            self._owners[owner] = now
            if not now:
                del self._owners[owner]
        numbers = np.array([*values, *(STALE for _ in ended)], np.float64)
        if len(numbers) != len(series) + len(ended):
            raise HeadError(f"{len(values)} values for {len(series)} series")
        at = _milli(at)
        singles = [self._single(one) for one in (*series, *ended)]
        if not singles:
            return
        blocks = [next(iter(single.blocks.values())) for single in singles]
        for place in push_each(blocks, at, numbers).tolist():
            self._put_single(singles[place], next(iter(singles[place].blocks)), at, float(numbers[place]))
        for single, value in zip(singles, numbers.tolist(), strict=True):
            if THIN in single.blocks and abs(at - single.charted_at) >= CHART_STEP:
                single.charted_at = at
                self._put_single(single, THIN, at, value)

    def mark_stale(self, host: str, at: float) -> None:
        """Every series of the host ends at this time; an unknown host is none."""
        known = self._hosts.get(host)
        if known is not None:
            self._mark(known, at)

    def cut(self, host: str, at: float) -> None:
        """No window of the host reaches back over this time; what is thinned for charts stays."""
        known = self._hosts.get(host)
        if known is None:
            return
        self._answers.forget()
        for block in known.blocks.values():
            if block.kind != THIN:
                block.slab.expire(block.index, _milli(at))

    def remove(self, host: str) -> None:
        """Forget a host and all its series."""
        self._answers.forget()
        known = self._hosts.pop(host, None)
        if known is not None:
            self._release(known)

    def records(self) -> Iterator[Record]:
        """Everything that has a window, host by host; the head may change between two of them."""
        for name in list(self._hosts):
            known = self._hosts.get(name)
            if known is not None:
                yield from self._record(name, known)
        for labels in list(self._singles):
            single = self._singles.get(labels)
            if single is not None:
                yield from self._record(None, single)

    def restore(self, record: Record) -> None:
        """Take a record up again, in the past: its series end behind their last sample until they are heard of.

        A host that is there already keeps what it has.
        """
        if record.host in self._hosts or (record.host is None and (not record.own or record.own[0] in self._singles)):
            return
        numbers = self._table.own_sets.held(record.own)
        if numbers is None:  # no head has written that
            return
        known = self._new_host(record.shared, 1 if record.host is not None else _OFTEN)
        self._answers.forget()
        rows = self._new_rows(known, numbers)
        pieces = tuple(Piece(rows[p.rows], p.times, p.values, p.thin) for p in record.pieces)
        self._arrange(known, rows, History(pieces, 0.0))
        if record.host is None:
            self._singles[record.own[0]] = known
        else:
            self._hosts[record.host] = known
        self._mark(known, 0.0)

    def newest(self, host: str) -> float | None:
        """Time of the host's newest sample or marker, None when the head has none."""
        known = self._hosts.get(host)
        return None if known is None else known.newest

    def values_of(self, instance: str, at: float) -> list[tuple[Labels, float, float]]:
        """(labels, value, time) of the newest sample of every series of one instance that has not ended."""
        found = self.select((Matcher("instance", Match.EQUAL, instance),), at - self.retention, at)
        latest = found.latest()
        rows = np.flatnonzero(latest.present)
        values, times = latest.values[rows].tolist(), latest.times[rows].tolist()
        return list(zip(found.frame.labels(rows.tolist()), values, times, strict=True))

    def breadth(self, matchers: Sequence[Matcher]) -> int:
        """How many series have to be looked at to find those that all matchers accept; at least as many as those."""
        return self._table.breadth(matchers, lambda index: self._at[index].rows)

    def select(self, matchers: Sequence[Matcher], start: float, end: float) -> Selection:
        """Series all matchers accept, samples in (start, end]; label columns are cached until series change."""
        key = tuple(matchers)
        version = self._table.version(key)
        found = self._found.get(key)
        if found is None or found.version != version:
            frame, rows = self._table.find(key, lambda index: self._at[index].rows)
            found = self._found.put(key, Found(version, frame, rows, self._memory.layout, self._place(rows)))
        elif found.layout != self._memory.layout:
            found.layout, found.place = self._memory.layout, self._place(found.rows)
        answers = None if found.place.own else self._answers
        return Selection(found.frame, found.place, _milli(start), _milli(end), key, answers)

    def compact(self, at: float) -> None:
        """Forget samples older than the retention, series that vanished, and hosts without samples."""
        for _ in self.compacting(at):
            pass

    def compacting(self, at: float) -> Iterator[None]:
        """The same a host at each step; the head may change between two of them."""
        oldest = at - self.retention
        for name in list(self._hosts):
            if name in self._hosts:
                self._answers.forget()
                self._compact_host(name, oldest)
                yield
        for labels in list(self._singles):
            newest = self._singles[labels].newest if labels in self._singles else math.inf
            if newest is None or newest < oldest:
                self._answers.forget()
                self._release(self._singles.pop(labels))
                yield
        self._memory.trim()
        self._table.renew_symbols()

    @property
    def stats(self) -> HeadStats:
        """Sizes now; they are counted as they change."""
        size = self._memory.bytes + self._table.bytes
        return HeadStats(len(self._hosts), self._table.live, self._memory.samples, size)

    def _record(self, name: str | None, known: Host) -> Iterator[Record]:
        history = History.of(known, newest=False)
        if any(len(piece.times) and len(piece.rows) for piece in history.pieces):
            rows = np.unique(np.concatenate([piece.rows for piece in history.pieces]))
            own = tuple(self._table.own_sets.labels(number) for number in self._table.own[rows].tolist())
            pieces = tuple(
                Piece(np.searchsorted(rows, p.rows).astype(np.int32), p.times, p.values, p.thin) for p in history.pieces
            )
            yield Record(name, known.shared, own, pieces)

    def _mark(self, known: Host, at: float) -> None:
        self._answers.forget()
        newest = known.newest
        if newest is None:
            return
        at = max(_milli(at), _milli(newest + _MARK))
        for block in known.blocks.values():
            self._memory.make_room(block, at - self.retention)
            block.slab.open_slot(block.index, block.spots, int(block.slab.end[block.index]), at)
            block.slab.marked[block.index] = at
        known.moved()  # a block may have gone to another slab

    def _known(self, host: str, schema: bytes) -> Host:
        self._answers.forget()
        known = self._hosts.get(host)
        if known is None or schema not in known.schemas:
            raise UnknownSchemaError(host, schema)
        if known.demanded != self._demands:
            self._follow(known)
        return known

    def _take(self, known: Host, schema: Schema, at: float, present: _Mask, values: _Floats) -> None:
        """One slot in each of the host's blocks."""
        if len(values) != schema.size:
            raise HeadError(f"{len(values)} values for {schema.size} series")
        filled = values if present is None else np.where(present, values, STALE)
        at = _milli(at)
        places = {kind: self._slot(known, block, at) for kind, block in known.blocks.items()}
        for route in known.routes(schema, self._memory):
            block, place = route.block, places[route.block.kind]
            if place is not None:
                block.open_slot(place, at, filled=route.whole)
                block.slab.values[route.spots, place] = filled if route.columns is None else filled[route.columns]

    def _slot(self, known: Host, block: Block, at: float) -> int | None:
        """Where a slot of this time goes, with room made for it; None when the block does not take it."""
        behind = block.slab.behind(block.index, at)
        if behind is not None:  # in order and there is room, as nearly always
            return behind[0] if block.kind != THIN or at - behind[1] >= CHART_STEP else None
        newest = block.newest
        place = block.slab.position(block.index, at)
        if place is None or (newest is not None and not block.wanted(at, newest, place, self.retention)):
            return None
        slab = block.slab
        if slab.end[block.index] == slab.slots:
            self._memory.make_room(block, max(at, newest or at) - self.retention)
            if block.slab is not slab:
                known.moved()
            place = block.slab.position(block.index, at)
        return place

    def _place(self, rows: _Rows) -> Place:
        """Where the samples of these rows are."""
        memory, hosts, kinds = self._memory, self._table.host[rows], self._memory.kind[rows]
        return Place(
            len(rows),
            memory.parts(np.arange(len(rows)), hosts, kinds, memory.spot[rows], len(rows)),
            cache(lambda: self._charts(rows)) if bool((memory.thin[rows] >= 0).any()) else None,
            short=bool((kinds == NEWEST).any()),
            own=bool(memory.own[hosts].any()),
        )

    def _charts(self, rows: _Rows) -> tuple[Part, ...]:
        thin = np.flatnonzero(self._memory.thin[rows] >= 0)
        mine = rows[thin]
        charts = np.full(len(thin), THIN)
        return self._memory.parts(thin, self._table.host[mine], charts, self._memory.thin[mine], len(rows))

    def _new_host(self, shared: Labels, often: int = 1) -> Host:
        index = self._free_hosts.pop() if self._free_hosts else self._host_count
        self._host_count = max(self._host_count, index + 1)
        self._memory.reserve(0, self._host_count)
        self._memory.own[index] = often != 1
        self._table.set_host(index, shared)
        host = self._at[index] = Host(index, shared, often=often, demanded=self._demands)
        return host

    def _extend(self, name: str, known: Host, schema: bytes, numbers: _Rows) -> None:
        """Rows for a schema's series, whose own sets are held: those the host has, new ones for the others."""
        mine = known.rows
        here, there = common(numbers, self._table.own[mine])
        self._table.own_sets.release(numbers[here])  # the rows of these hold them already
        fresh = np.ones(len(numbers), np.bool_)
        fresh[here] = False
        rows = np.empty(len(numbers), np.int32)
        rows[here] = mine[there]
        rows[fresh] = self._add_rows(known, numbers[fresh])
        base = int(rows.min(initial=rows[0])) if len(rows) else 0
        known.schemas[schema] = Schema(base, self._memory.shared(run(rows - np.int32(base))))
        known.schema = schema
        while len(known.schemas) > _KEPT_SCHEMAS:
            del known.schemas[next(iter(known.schemas))]
        known.moved()
        self._hosts[name] = known

    def _add_rows(self, known: Host, numbers: _Rows) -> _Rows:
        """New series, each in the block of its kind; a host without series has an empty block for its times."""
        self._answers.forget()
        rows = self._new_rows(known, numbers)
        kinds, charted = self._needs_of(numbers)
        for kind in np.unique(kinds).tolist() or [NEWEST]:
            self._memory.add(self._block(known, kind), np.sort(rows[kinds == kind]))
        if charted.any():
            self._memory.add(self._block(known, THIN), np.sort(rows[charted]))
        return rows

    def _new_rows(self, known: Host, numbers: _Rows) -> _Rows:
        """A row for each own set, which is held; those of one kind follow each other, so that a block's are a slice."""
        kinds, charted = self._needs_of(numbers)
        order = np.argsort(2 * kinds + charted, kind="stable")
        rows = np.empty(len(numbers), np.int32)
        rows[order] = self._table.add(known.index, numbers[order])
        self._memory.reserve(self._table.size, 0)
        return rows

    def _block(self, known: Host, kind: int, slots: int = 0) -> Block:
        if kind not in known.blocks:
            usual = slots_of(kind, self._memory.interval, 0)
            most = self.max_samples if kind == ALL else usual * most_of(kind, known.often)
            known.blocks[kind] = self._memory.open(known.index, kind, most, slots)
        return known.blocks[kind]

    def _needs(self, rows: _Rows) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """The kind of each series, and whether it is charted."""
        return self._needs_of(self._table.own[rows])

    def _needs_of(self, own: NDArray[np.int32]) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """The same for own sets; each is asked once for each demand."""
        sets = self._table.own_sets
        for number in np.unique(own[sets.tags[own] < 0]).tolist():
            kind, charted = self._demand.need(sets.labels(number))
            sets.tags[number] = 2 * kind + charted
        tags = sets.tags[own]
        return tags >> 1, (tags & 1).astype(np.bool_)

    def _follow(self, known: Host) -> None:
        """Move a host's series to the blocks of the demand of now, with the samples these keep."""
        known.demanded = self._demands
        rows = known.rows
        kinds, charted = self._needs(rows)
        if bool((self._memory.kind[rows] == kinds).all() and ((self._memory.thin[rows] >= 0) == charted).all()):
            return
        history = History.of(known)
        for block in known.blocks.values():
            self._memory.close(block)
        known.blocks.clear()
        self._arrange(known, rows, history)

    def _arrange(self, known: Host, rows: _Rows, history: History) -> None:
        kinds, charted = self._needs(rows)
        for kind in np.unique(kinds).tolist() or [NEWEST]:
            self._refill(known, kind, rows[kinds == kind], history)
        if charted.any():
            self._refill(known, THIN, rows[charted], history)
        known.moved()
        self._memory.layout += 1

    def _refill(self, known: Host, kind: int, rows: _Rows, history: History) -> None:
        times = history.times_for(kind, self.retention)
        slots = max(first_of(kind, slots_of(kind, self._memory.interval, self.max_samples)), len(times) + 2)
        block = self._block(known, kind, slots)
        self._memory.add(block, rows)
        self._memory.load(block, times, history.values(rows, times), history.marked)

    def _single(self, labels: Labels) -> Host:
        single = self._singles.get(labels)
        if single is None:
            single = self._singles[labels] = self._new_host(Labels(), _OFTEN)
            number = self._table.own_sets.numbers((labels,))
            self._table.own_sets.hold(number)
            self._add_rows(single, number)
        return single

    def _put_single(self, single: Host, kind: int, at: float, value: float) -> None:
        block = single.blocks[kind]
        place = self._slot(single, block, at)
        if place is not None:
            block.open_slot(place, at, filled=True)
            block.slab.values[block.spots, place] = value

    def _release(self, known: Host) -> None:
        rows = known.rows
        for block in known.blocks.values():
            self._memory.close(block)
        self._table.free(rows)
        self._table.free_host(known.index)
        del self._at[known.index]
        self._free_hosts.append(known.index)

    def _compact_host(self, name: str, oldest: float) -> None:
        known = self._hosts[name]
        for block in known.blocks.values():
            block.slab.expire(block.index, oldest)
            before = block.slab
            self._memory.leave(block)
            if block.slab is not before:
                known.moved()
        if known.newest is None:
            self.remove(name)
            return
        if known.demanded != self._demands:
            self._follow(known)
        if known.schemas:
            self._drop_vanished(known)

    def _drop_vanished(self, known: Host) -> None:
        """Series that the schema in use has not and that have no sample left."""
        current = known.schemas[known.schema]
        if sum(block.size for kind, block in known.blocks.items() if kind != THIN) == current.size:
            return
        used = current.rows
        gone = [block.ended(used) for kind, block in known.blocks.items() if kind != THIN]
        rows = np.concatenate(gone)
        if not len(rows):
            return
        for block in known.blocks.values():
            self._memory.remove(block, rows)
        known.schemas = {k: s for k, s in known.schemas.items() if not np.isin(rows, s.rows).any()}
        known.moved()
        self._table.free(rows)


def _milli(at: float) -> float:
    """Times are whole milliseconds, as Prometheus' are, so that equal times are equal numbers."""
    return round(at * 1000.0) / 1000.0
