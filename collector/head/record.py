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


@dataclass(frozen=True, slots=True)
class Record:
    """A host by its name, or one of the collector's own series (no name); piece rows count in `own`."""

    host: str | None
    shared: Labels
    own: tuple[Labels, ...]
    pieces: tuple[Piece, ...]


def encode(record: Record) -> bytes:
    """A record's bytes."""
    about = {
        "host": record.host,
        "shared": record.shared.pairs,
        "own": [labels.pairs for labels in record.own],
        "pieces": [[piece.rows.tolist(), len(piece.times), piece.thin] for piece in record.pieces],
    }
    text = json.dumps(about).encode()
    arrays = [part.tobytes() for piece in record.pieces for part in (piece.times, piece.values)]
    return b"".join([_LENGTH.pack(len(text)), text, *arrays])


def decode(data: bytes) -> Record:
    """The record of some bytes. Raises RecordError for bytes that are none."""
    try:
        (length,) = _LENGTH.unpack_from(data)
        about = json.loads(data[4 : 4 + length])
        own = tuple(Labels.of(dict(pairs)) for pairs in about["own"])
        pieces, place = [], 4 + length
        for rows, width, thin in about["pieces"]:
            times, values = _array(data, place, 1, width)[0], _array(data, place + 8 * width, len(rows), width)
            pieces.append(Piece(_checked(rows, len(own)), _ascending(times), values, bool(thin)))
            place += 8 * width * (1 + len(rows))
        name = about["host"]
        return Record(None if name is None else str(name), Labels.of(dict(about["shared"])), own, tuple(pieces))
    except (ValueError, TypeError, KeyError, struct.error) as error:
        raise RecordError(str(error)) from None


def _array(data: bytes, place: int, rows: int, width: int) -> NDArray[np.float64]:
    return np.frombuffer(data, "<f8", rows * width, place).reshape(rows, width).astype(np.float64)


def _checked(rows: list[int], size: int) -> NDArray[np.int32]:
    made = np.array(rows, np.int32)
    if len(np.unique(made)) != len(made) or (len(made) and not 0 <= made.min() <= made.max() < size):
        raise ValueError("a row that is not there")
    return made


def _ascending(times: NDArray[np.float64]) -> NDArray[np.float64]:
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise ValueError("times out of order")
    return times
