"""A batch's bytes as the arrays `Head.append` takes. Pure; the bytes' sizes were checked by ingest's session."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]
Arrays = tuple[Mask | None, Values]
Places = NDArray[np.intp]


def decode(total: int, presence: bytes, packed: bytes, keep: Sequence[int] | None = None) -> Arrays:
    """(present, values), one entry per series: `total` of them, or those columns of it that `keep` names. Read only.

    `presence` has bit i, least significant first, for series i; empty means all. `packed` has the present values as
    little-endian doubles. NaN means unknown and counts as not present. `present` is None when all are.
    """
    given = np.frombuffer(packed, "<f8").astype(np.float64, copy=False)
    if presence:
        bits = np.unpackbits(np.frombuffer(presence, np.uint8), count=total, bitorder="little").astype(np.bool_)
        values = np.full(total, np.nan)
        values[bits] = given
    else:
        values = given
    if keep is not None:
        values = values[np.asarray(keep, np.intp)]
    return _present(values), values


def column(values: Sequence[float]) -> Arrays:
    """(present, values) of plain numbers, NaN meaning not present."""
    packed = np.asarray(values, np.float64)
    return _present(packed), packed


def places(numbers: Sequence[int]) -> Places:
    """Numbers of columns, to pick them with again and again."""
    return np.array(numbers, np.intp)


def picked(arrays: Arrays, columns: Places) -> Arrays:
    """Some of the columns."""
    present, values = arrays
    return None if present is None else present[columns], values[columns]


def _present(values: Values) -> Mask | None:
    unknown = np.isnan(values)
    return ~unknown if unknown.any() else None
