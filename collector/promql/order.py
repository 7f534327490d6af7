"""The order in which a vector's rows are shown: sort, and sort_by_label with numbers inside texts read as numbers."""

import re
from collections.abc import Sequence
from functools import cmp_to_key

import numpy as np

from collector.head import Frame
from collector.promql.rows import Index, Rows

_CHUNK = re.compile(r"\d+|\D+")


def in_order(rows: Rows, order: Index) -> Rows:
    """The same rows in another order; for the top of an expression, as what hangs on the frame is lost."""
    masks = (rows.present[:, order], rows.known[:, order], rows.lost[:, order])
    return Rows(rows.frame.take(order), rows.values[:, order], *masks)


def order_by(frame: Frame, names: Sequence[str]) -> Index:
    """Rows by these labels, and by the whole label set where those are equal. Each distinct value is read once."""
    whole = frame.labels(range(frame.size))
    ranks = np.argsort(np.array(sorted(range(frame.size), key=lambda row: whole[row].pairs), np.intp))
    keys = [ranks, *(_ranks(frame, name) for name in reversed(names))]
    return np.lexsort(keys)


def _ranks(frame: Frame, name: str) -> Index:
    column = frame.columns.get(name)
    if column is None:
        return np.zeros(frame.size, np.intp)
    codes, of = np.unique(column, return_inverse=True)
    texts = [frame.symbols.decode(int(code)) for code in codes]
    key = cmp_to_key(compare)
    order = sorted(range(len(texts)), key=lambda i: key(texts[i]))
    return np.argsort(np.array(order, np.intp))[of.reshape(-1)]


def compare(left: str, right: str) -> int:
    """Chunk by chunk, digits as numbers; the shorter one first where one begins the other."""
    ours, theirs = _CHUNK.findall(left), _CHUNK.findall(right)
    for one, other in zip(ours, theirs, strict=False):
        if one.isdecimal() and other.isdecimal():
            if int(one) != int(other):
                return -1 if int(one) < int(other) else 1
        elif one != other:
            return -1 if one < other else 1
    return len(ours) - len(theirs)
