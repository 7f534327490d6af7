"""One host's samples as bytes and back, for a snapshot. Pure; where the bytes are kept is the caller's matter."""

import json
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.head.errors import RecordError
from collector.head.history import Piece
from collector.labels import Labels

_LENGTH = struct.Struct("<I")
Own = tuple[Labels, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A host by its name, or one of the collector's own series (no name); piece rows count in `own`."""

    host: str | None
    shared: Labels
    own: Own
    pieces: tuple[Piece, ...]


class Encoder:
    """Records one after the other. Label sets that many hosts have are written with the first of them alone."""

    def __init__(self) -> None:
        self._told: dict[tuple[int, ...], tuple[int, Own]] = {}

    def encode(self, record: Record) -> bytes:
        """A record's bytes, for a decoder that has read those before."""
        # The head's label sets are interned: the same objects, as long as we hold them.
        same = tuple(map(id, record.own))
        known = same in self._told
        number, own = self._told.setdefault(same, (len(self._told), record.own))
        about = {
            "host": record.host,
            "shared": record.shared.pairs,
            "sets": number,
            "own": None if known else [labels.pairs for labels in own],
            "pieces": [[len(piece.rows), len(piece.times), piece.thin] for piece in record.pieces],
        }
        text = json.dumps(about).encode()
        arrays = [part for p in record.pieces for part in (p.rows.astype("<i4"), p.times, p.values)]
        return b"".join([_LENGTH.pack(len(text)), text, *(part.tobytes() for part in arrays)])


class Decoder:
    """The same records in the same order."""

    def __init__(self) -> None:
        self._told: dict[int, Own] = {}

    def decode(self, data: bytes) -> Record:
        """The record of some bytes. Raises RecordError for bytes that are none."""
        try:
            (length,) = _LENGTH.unpack_from(data)
            about = json.loads(data[4 : 4 + length])
            if about["own"] is not None:
                self._told[about["sets"]] = tuple(Labels.of(dict(pairs)) for pairs in about["own"])
            own = self._told[about["sets"]]
            pieces, place = [], 4 + length
            for rows, width, thin in about["pieces"]:
                piece = _piece(data, place, rows, width, len(own))
                pieces.append(Piece(*piece, bool(thin)))
                place += 4 * rows + 8 * width * (1 + rows)
            name = about["host"]
            shared = Labels.of(dict(about["shared"]))
            return Record(None if name is None else str(name), shared, own, tuple(pieces))
        except (ValueError, TypeError, KeyError, struct.error) as error:
            raise RecordError(str(error)) from None


def _piece(
    data: bytes, place: int, rows: int, width: int, size: int
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    if min(rows, width) < 0:
        raise ValueError("a piece of less than nothing")
    numbers = np.frombuffer(data, "<i4", rows, place).astype(np.int32)
    times = np.frombuffer(data, "<f8", width, place + 4 * rows).astype(np.float64)
    values = np.frombuffer(data, "<f8", rows * width, place + 4 * rows + 8 * width).astype(np.float64)
    return _checked(numbers, size), _ascending(times), values.reshape(rows, width)


def _checked(rows: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    if len(np.unique(rows)) != len(rows) or (len(rows) and not 0 <= rows.min() <= rows.max() < size):
        raise ValueError("a row that is not there")
    return rows


def _ascending(times: NDArray[np.float64]) -> NDArray[np.float64]:
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise ValueError("times out of order")
    return times
