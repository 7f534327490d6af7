"""The head: what hosts sent lately. Owned by one thread; every method is given its time.

A host's series share their time slots; recordings, ALERTS and presence are hosts of one series each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from collector.head.errors import HeadError, UnknownSchemaError
from collector.head.frame import Frame
from collector.head.matcher import Match, Matcher
from collector.head.selection import Place, Selection
from collector.head.series import SeriesTable
from collector.head.slab import STALE, Slab
from collector.labels import NAME, Labels

_KEPT_SCHEMAS = 4  # a reconnecting agent replays batches of its earlier schemas
_KEPT_SELECTIONS = 1024
_MARK = 0.001  # a marker that is not later than the newest sample comes this much after it
_Mask = NDArray[np.bool_] | None
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HeadStats:
    """Sizes for the collector's own metrics; `samples` counts slots times series."""

    hosts: int
    series: int
    samples: int
    bytes: int


@dataclass(slots=True)
class _Host:
    index: int
    schema: bytes
    shared: Labels
    rows: NDArray[np.intp]  # every series of the host, also those its schema has lost
    schemas: dict[bytes, NDArray[np.intp]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Dormant:
    """A host without samples: what is needed to take it up again."""

    schema: bytes
    shared: Labels
    own: tuple[Labels, ...]


class Head:
    """Samples of the last `retention` seconds of every series, at most `max_samples` of each."""

    def __init__(self, *, retention: float = 3600.0, max_samples: int = 480) -> None:
        self.retention = retention
        self._table = SeriesTable()
        self._slab = Slab(max_samples)
        self._hosts: dict[str, _Host] = {}
        self._singles: dict[Labels, _Host] = {}
        self._dormant: dict[str, _Dormant] = {}
        self._owners: dict[str, set[Labels]] = {}
        self._free_hosts: list[int] = []
        self._host_count = 0
        self._found: dict[tuple[Matcher, ...], tuple[int, Frame, Place]] = {}

    def register(self, host: str, schema: bytes, series: Sequence[Labels]) -> None:
        """The host's batches of this schema have these series, in this order.

        `series` are whole label sets with `__name__`. Series the host had before keep their history, those it has no
        more get a staleness marker with its next sample. Raises HeadError when a label set comes twice.
        """
        known = self._hosts.get(host)
        if known is not None and schema in known.schemas:
            known.schema = schema
            return
        if len(set(series)) != len(series):
            raise HeadError(f"host {host!r} has a label set twice in schema {schema.hex()}")
        shared, own = _split(series)
        self._dormant.pop(host, None)
        if known is not None and known.shared != shared:
            self.remove(host)
            known = None
        self._extend(host, known or self._new_host(shared), schema, own)

    def append(self, host: str, schema: bytes, at: float, present: _Mask, values: _Floats) -> None:
        """One batch: a value per series of the schema, `present` False where the host has none this time.

        A time the host already has is ignored, an older one is merged as `append_old` does. Raises UnknownSchemaError.
        """
        block = self._block(host, schema)
        block.schema = schema
        self._put(block, block.schemas[schema], at, present, values)

    def append_old(self, host: str, schema: bytes, at: float, present: _Mask, values: _Floats) -> None:
        """A batch of the past, merged in time order; beyond retention or twice, it is ignored."""
        block = self._block(host, schema)
        self._put(block, block.schemas[schema], at, present, values)

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
        blocks = [self._single(one) for one in (*series, *ended)]
        numbers = np.array([*values, *(STALE for _ in ended)], np.float64)
        if len(numbers) != len(blocks):
            raise HeadError(f"{len(values)} values for {len(series)} series")
        late = self._append_singles(blocks, _milli(at), numbers)
        for place in late.tolist():
            self._put(blocks[place], blocks[place].rows, at, None, numbers[place : place + 1])

    def mark_stale(self, host: str, at: float) -> None:
        """Every series of the host ends at this time; an unknown host is none."""
        block = self._hosts.get(host)
        newest = self.newest(host)
        if block is None or newest is None:
            return
        at = max(_milli(at), _milli(newest + _MARK))
        self._slab.make_room(block.index, block.rows, at - self.retention)
        self._slab.open_slot(block.index, block.rows, int(self._slab.end[block.index]), at)
        self._slab.marked[block.index] = at

    def remove(self, host: str) -> None:
        """Forget a host and all its series."""
        block = self._hosts.pop(host, None)
        self._dormant.pop(host, None)
        if block is not None:
            self._release(block)

    @property
    def max_samples(self) -> int:
        """Most samples kept of a series; may be raised when longer windows are needed."""
        return self._slab.max_slots

    @max_samples.setter
    def max_samples(self, samples: int) -> None:
        self._slab.max_slots = max(samples, self._slab.slots)

    def newest(self, host: str) -> float | None:
        """Time of the host's newest sample or marker, None when the head has none."""
        block = self._hosts.get(host)
        return None if block is None else self._slab.newest(block.index)

    def values_of(self, instance: str, at: float) -> list[tuple[Labels, float, float]]:
        """(labels, value, time) of the newest sample of every series of one instance that has not ended."""
        found = self.select((Matcher("instance", Match.EQUAL, instance),), at - self.retention, at)
        latest = found.latest()
        rows = np.flatnonzero(latest.present)
        values, times = latest.values[rows].tolist(), latest.times[rows].tolist()
        return list(zip(found.frame.labels(rows.tolist()), values, times, strict=True))

    def select(self, matchers: Sequence[Matcher], start: float, end: float) -> Selection:
        """Series all matchers accept, samples in (start, end]; label columns are cached until series change."""
        key = tuple(matchers)
        version = self._table.version(key)
        found = self._found.get(key)
        if found is None or found[0] != version:
            if len(self._found) >= _KEPT_SELECTIONS:
                self._found.clear()
            found = self._found[key] = (version, *self._table.find(key))
        _, frame, place = found
        return Selection(frame, self._slab, place, _milli(start), _milli(end))

    def compact(self, at: float) -> None:
        """Forget samples older than the retention, series that vanished, and hosts without samples."""
        oldest = at - self.retention
        for host in list(self._hosts):
            self._compact_host(host, oldest)
        singles = list(self._singles.items())
        hosts = np.array([block.index for _, block in singles], np.intp)
        for place in np.flatnonzero(self._slab.silent_since(hosts, oldest)).tolist():
            labels, block = singles[place]
            del self._singles[labels]
            self._release(block)
        self._table.renew_symbols()

    @property
    def stats(self) -> HeadStats:
        """Sizes now."""
        blocks = (*self._hosts.values(), *self._singles.values())
        samples = sum(int(self._slab.end[b.index] - self._slab.begin[b.index]) * len(b.rows) for b in blocks)
        return HeadStats(len(self._hosts), self._table.live, samples, self._slab.bytes)

    def _append_singles(self, blocks: Sequence[_Host], at: float, values: _Floats) -> NDArray[np.intp]:
        """One scatter for all series that are older than `at` and have room; the places of the others are returned."""
        slab = self._slab
        hosts = np.array([block.index for block in blocks], np.intp)
        rows = np.array([block.rows[0] for block in blocks], np.intp)
        end = slab.end[hosts]
        newer = (end == slab.begin[hosts]) | (slab.times[hosts, np.maximum(end - 1, 0)] < at)
        ready = newer & (end < slab.slots)
        hosts, rows, end = hosts[ready], rows[ready], end[ready]
        slab.times[hosts, end] = at
        slab.values[rows, end] = values[ready]
        slab.end[hosts] = end + 1
        return np.flatnonzero(~ready)

    def _block(self, host: str, schema: bytes) -> _Host:
        asleep = self._dormant.get(host)
        if asleep is not None and asleep.schema == schema:
            del self._dormant[host]
            self._extend(host, self._new_host(asleep.shared), schema, asleep.own)
        block = self._hosts.get(host)
        if block is None or schema not in block.schemas:
            raise UnknownSchemaError(host, schema)
        return block

    def _put(self, block: _Host, rows: NDArray[np.intp], at: float, present: _Mask, values: _Floats) -> None:
        """One slot, one scatter."""
        at, slab = _milli(at), self._slab
        newest = slab.newest(block.index)
        oldest = max(at, newest or at) - self.retention
        if len(values) != len(rows):
            raise HeadError(f"{len(values)} values for {len(rows)} series")
        if at < oldest or slab.position(block.index, at) is None:
            return
        slab.make_room(block.index, block.rows, oldest)
        place = slab.position(block.index, at)
        if place is None or (place == slab.begin[block.index] and slab.end[block.index] >= slab.max_slots):
            return
        slab.open_slot(block.index, block.rows, place, at)
        slab.values[rows, place] = values if present is None else np.where(present, values, STALE)

    def _new_host(self, shared: Labels) -> _Host:
        index = self._free_hosts.pop() if self._free_hosts else self._host_count
        self._host_count = max(self._host_count, index + 1)
        self._slab.reserve_hosts(self._host_count)
        self._slab.begin[index] = self._slab.end[index] = 0
        self._slab.marked[index] = 0.0
        self._table.set_host(index, shared)
        return _Host(index, b"", shared, np.zeros(0, np.intp))

    def _extend(self, host: str, block: _Host, schema: bytes, own: Sequence[Labels]) -> None:
        """Rows for a schema's series: those the host has, new ones for the others."""
        known = dict(zip(self._table.own[block.rows].tolist(), block.rows.tolist(), strict=True))
        numbers = [self._table.own_sets.find(one) for one in own]
        fresh = [one for one, number in zip(own, numbers, strict=True) if number not in known]
        added = iter(self._add_rows(block, fresh).tolist())
        rows = [known[n] if n in known else next(added) for n in numbers]
        block.schemas[schema] = np.array(rows, np.intp)
        block.schema = schema
        while len(block.schemas) > _KEPT_SCHEMAS:
            del block.schemas[next(iter(block.schemas))]
        self._hosts[host] = block

    def _add_rows(self, block: _Host, own: Sequence[Labels]) -> NDArray[np.intp]:
        rows = self._table.add(block.index, own)
        self._slab.reserve_rows(self._table.size)
        self._slab.clear_rows(rows)
        block.rows = np.concatenate([block.rows, rows])
        return rows

    def _single(self, labels: Labels) -> _Host:
        block = self._singles.get(labels)
        if block is None:
            block = self._singles[labels] = self._new_host(Labels())
            self._add_rows(block, (labels,))
        return block

    def _release(self, block: _Host) -> None:
        self._table.free(block.rows)
        self._table.free_host(block.index)
        self._free_hosts.append(block.index)

    def _compact_host(self, host: str, oldest: float) -> None:
        block = self._hosts[host]
        self._slab.expire(block.index, oldest)
        if self._slab.newest(block.index) is None:
            own = tuple(self._table.own_sets.labels(int(n)) for n in self._table.own[block.schemas[block.schema]])
            self.remove(host)
            self._dormant[host] = _Dormant(block.schema, block.shared, own)
            return
        self._drop_vanished(block)

    def _drop_vanished(self, block: _Host) -> None:
        """Series that the schema in use has not and that have no sample left."""
        if len(block.rows) == len(block.schemas[block.schema]):
            return
        lost = block.rows[~np.isin(block.rows, block.schemas[block.schema])]
        gone = lost[self._slab.empty_rows(block.index, lost)]
        if len(gone):
            block.schemas = {s: rows for s, rows in block.schemas.items() if not np.isin(gone, rows).any()}
            block.rows = block.rows[~np.isin(block.rows, gone)]
            self._table.free(gone)


def _milli(at: float) -> float:
    """Times are whole milliseconds, as Prometheus' are, so that equal times are equal numbers."""
    return round(at * 1000.0) / 1000.0


def _split(series: Sequence[Labels]) -> tuple[Labels, tuple[Labels, ...]]:
    """The labels all have in common (never the metric's name), and what is each one's own."""
    common = {pair for pair in series[0].pairs if pair[0] != NAME} if series else set()
    for labels in series:
        common.intersection_update(labels.pairs)
    own = tuple(Labels(tuple(pair for pair in labels.pairs if pair not in common)) for labels in series)
    return Labels(tuple(sorted(common))), own
