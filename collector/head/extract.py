"""A bounded copy of what some series had in a span, to be looked at by another process as the head would be.

Made in the thread that owns the head; the copy shares no memory with it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.head.errors import HeadError
from collector.head.frame import Frame
from collector.head.place import Floats, Indices, Part, Place, Plane, after
from collector.head.selection import Selection
from collector.head.slab import Slab
from collector.head.symbols import Symbols
from collector.head.windows import slices

_ARRAYS = 6  # of a piece


@dataclass(frozen=True, slots=True)
class Piece:
    """The slots of a span of one part: markers of staleness among the values, as in the head."""

    series: Indices
    block_of: Indices
    values: Floats
    times: Floats
    counts: Indices
    marked: Floats


@dataclass(frozen=True, slots=True)
class Extract:
    """`size` series: their labels as columns of numbers of `strings`, and their samples."""

    size: int
    strings: tuple[str, ...]
    columns: Mapping[str, NDArray[np.int32]]
    fine: tuple[Piece, ...]
    thin: tuple[Piece, ...]
    short: bool

    @property
    def samples(self) -> int:
        """How many slots there are."""
        return sum(piece.values.size for piece in (*self.fine, *self.thin))

    def place(self, symbols: Symbols) -> tuple[Frame, Place]:
        """The same as a head would keep it, with the labels in this dictionary."""
        codes = np.array([symbols.encode(text) for text in self.strings], np.int32)
        columns = {name: codes[column] for name, column in self.columns.items()}
        fine, thin = (tuple(_part(p, self.size) for p in pieces) for pieces in (self.fine, self.thin))
        place = Place(self.size, fine, (lambda: thin) if thin else None, short=self.short, own=False)
        return Frame(symbols, columns, self.size), place

    def pack(self) -> bytes:
        """Bytes for a process of ours on this machine."""
        pieces = (*self.fine, *self.thin)
        arrays: list[NDArray[Any]] = [*self.columns.values()]
        arrays += [getattr(piece, name) for piece in pieces for name in piece.__slots__]
        head = {
            "size": self.size,
            "strings": self.strings,
            "names": list(self.columns),
            "fine": len(self.fine),
            "short": self.short,
            "arrays": [[array.dtype.str, array.shape] for array in arrays],
        }
        text = json.dumps(head).encode()
        return b"".join([len(text).to_bytes(8, "little"), text, *(np.ascontiguousarray(a).tobytes() for a in arrays)])


def unpack(data: bytes) -> Extract:
    """What `pack` packed."""
    begin = 8 + int.from_bytes(data[:8], "little")
    head, arrays = json.loads(data[8:begin]), list[NDArray[Any]]()
    for kind, shape in head["arrays"]:
        count = int(np.prod(shape))
        arrays.append(np.frombuffer(data, kind, count, begin).reshape(shape))
        begin += arrays[-1].nbytes
    names = head["names"]
    rest = arrays[len(names) :]
    pieces = [Piece(*rest[i : i + _ARRAYS]) for i in range(0, len(rest), _ARRAYS)]
    fine, thin = tuple(pieces[: head["fine"]]), tuple(pieces[head["fine"] :])
    columns = dict(zip(names, arrays, strict=False))
    return Extract(head["size"], tuple(head["strings"]), columns, fine, thin, head["short"])


def distinct(selection: Selection, names: Iterable[str], most: int) -> dict[str, tuple[str, ...]]:
    """The values each of these labels has. Raises HeadError for more than `most`."""
    frame, found = selection.frame, dict[str, tuple[str, ...]]()
    for name in names:
        codes = np.unique(frame.columns[name]).tolist() if name in frame.columns else [0]
        if len(codes) > most:
            raise HeadError(f"the label {name} has {len(codes)} values here, too many to be tried")
        found[name] = tuple(frame.symbols.decode(code) for code in codes)
    return found


def extract(
    selection: Selection, accepted: Mapping[str, Sequence[str]], *, most_series: int, most_samples: int
) -> Extract:
    """The series whose labels have an accepted value, and their slots. Raises HeadError for too many of either."""
    frame, place = selection.frame, selection.place
    chosen = np.ones(frame.size, np.bool_)
    for name, values in accepted.items():
        codes = [code for value in values if (code := frame.symbols.find(value)) is not None]
        column = frame.columns.get(name, np.zeros(frame.size, np.int32))
        chosen &= np.isin(column, np.array(codes, np.int32))
    rows = np.flatnonzero(chosen)
    if len(rows) > most_series:
        raise HeadError(f"{len(rows)} series are too many to be tried; {most_series} are the limit")
    number = np.full(frame.size, -1, np.intp)
    number[rows] = np.arange(len(rows))
    fine = list[Piece]()
    for part in (*place.fine, *(place.thin() if place.thin else ())):
        fine.append(_piece(part, number, selection.span, most_samples - sum(p.values.size for p in fine)))
    strings, columns = _columns(frame, rows)
    cut = len(place.fine)
    return Extract(len(rows), strings, columns, tuple(fine[:cut]), tuple(fine[cut:]), place.short)


def _columns(frame: Frame, rows: Indices) -> tuple[tuple[str, ...], dict[str, NDArray[np.int32]]]:
    columns = {name: column[rows] for name, column in frame.columns.items()}
    used = np.unique(np.concatenate([np.zeros(1, np.int32), *columns.values()]))
    strings = tuple(frame.symbols.decode(code) for code in used.tolist())
    return strings, {name: np.searchsorted(used, column).astype(np.int32) for name, column in columns.items()}


def _piece(part: Part, number: Indices, span: tuple[float, float], left: int) -> Piece:
    mine = number if part.series is None else number[part.series]
    some = np.flatnonzero(mine >= 0)
    used, block_of = np.unique(part.block_of[some], return_inverse=True)
    slab, blocks = part.plane.slab, part.plane.blocks[used]
    low, high = (after(Plane(slab, blocks), at) for at in span)
    counts = high - low
    width = max(1, int(counts.max(initial=0)))
    if width * len(some) > left:
        raise HeadError(f"{width} samples of {len(some)} series are too many to be tried; ask for fewer")
    block_of = block_of.reshape(-1)
    values = slices(slab.values, part.base[some] + low[block_of], width)
    times = slices(slab.times, blocks * slab.slots + low, width)
    return Piece(mine[some], block_of, values, times, counts, slab.marked[blocks])


def _part(piece: Piece, size: int) -> Part:
    width, blocks = piece.values.shape[1], len(piece.counts)
    slab, spare = Slab(width), np.zeros((1, width))
    slab.values, slab.times = np.concatenate([piece.values, spare]), np.concatenate([piece.times, spare])
    slab.begin, slab.end = np.zeros(blocks, np.int32), piece.counts.astype(np.int32)
    slab.marked = piece.marked
    whole = len(piece.series) == size and bool((piece.series == np.arange(size)).all())
    base = np.arange(len(piece.series)) * width
    return Part(Plane(slab, np.arange(blocks)), None if whole else piece.series, piece.block_of, base)
