"""Label sets as dictionary-encoded columns, and what is computed from them once: groupings, joins, subsets.

A frame never changes, so everything derived from it is cached on it and lives as long as the set of series does.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from collector.head.symbols import Symbols
from collector.labels import NAME, Labels

T = TypeVar("T")
_MEMO = 256  # derived things kept per frame: a large rule pack asks a metric for tens of them
_SPAN = 1 << 62


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows with equal labels: `ids[row]` in 0..size-1, `first[group]` is a row of it."""

    ids: NDArray[np.intp]
    size: int
    first: NDArray[np.intp]


class Frame:
    """`size` label sets: one int32 column of symbol numbers per label name, 0 where the label does not exist."""

    def __init__(self, symbols: Symbols, columns: Mapping[str, NDArray[np.int32]], size: int) -> None:
        self.symbols = symbols
        self.columns = dict(sorted(columns.items()))
        self.size = size
        self._memo: dict[Hashable, object] = {}
        self._labels: list[Labels | None] = []

    @classmethod
    def of(cls, symbols: Symbols, labels: Sequence[Labels]) -> "Frame":
        """A frame of given label sets; a Python loop, for a handful of rows."""
        names = {name for one in labels for name, _ in one}
        columns = {n: np.array([symbols.encode(one.get(n)) for one in labels], np.int32) for n in names}
        return cls(symbols, columns, len(labels))

    @classmethod
    def single(cls, symbols: Symbols, labels: Labels) -> "Frame":
        """The frame of one label set, the same object every time, so that joins with it are cached too."""
        if labels not in symbols.singles:
            symbols.singles[labels] = cls.of(symbols, (labels,))
        found = symbols.singles[labels]
        return found if isinstance(found, cls) else cls.of(symbols, (labels,))

    @property
    def names(self) -> tuple[str, ...]:
        """Label names, sorted."""
        return tuple(self.columns)

    def memo(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returned for this key the first time; the oldest of many is forgotten."""
        if key not in self._memo:
            if len(self._memo) >= _MEMO:
                del self._memo[next(iter(self._memo))]
            self._memo[key] = make()
        return self._memo[key]  # type: ignore[return-value]  # the key decides the type

    def forget(self) -> None:
        """Drops what was computed from it. Joins go both ways: two frames nobody uses would keep each other."""
        memo, self._memo = self._memo, {}
        for made in memo.values():
            for each in made if isinstance(made, tuple) else (made,):
                if isinstance(each, Frame):
                    each.forget()

    def keep(self, names: Iterable[str]) -> "Frame":
        """The same rows with these labels only."""
        wanted = frozenset(names)
        if wanted >= self.columns.keys():
            return self  # not remembered: a frame that holds itself outlives its last use
        return self.memo(("keep", wanted), lambda: self._only(wanted))

    def without(self, names: Iterable[str]) -> "Frame":
        """The same rows without these labels."""
        unwanted = frozenset(names)
        return self.keep(n for n in self.columns if n not in unwanted)

    @property
    def nameless(self) -> "Frame":
        """The same rows without the metric's name."""
        return self.without((NAME,))

    def take(self, rows: NDArray[np.intp]) -> "Frame":
        """These rows, in this order."""
        return Frame(self.symbols, {n: c[rows] for n, c in self.columns.items()}, len(rows))

    def groups(self, names: Iterable[str]) -> Groups:
        """Rows grouped by the values of these labels."""
        wanted = frozenset(names)
        return self.memo(("groups", wanted), lambda: group(self.keep(wanted)))

    @cached_property
    def unique(self) -> bool:
        """True when no two rows have the same labels."""
        return self.groups(self.columns).size == self.size

    def rows_of(self, labels: Labels) -> NDArray[np.intp]:
        """The rows that have exactly these labels; the index is made at the first question and kept."""
        codes = [self.symbols.find(labels.get(name)) for name in self.columns]
        if None in codes or any(name not in self.columns for name, _ in labels):
            return np.zeros(0, np.intp)
        numbers, order, starts = self.memo("rows_of", self._index)
        group = numbers.get(np.array(codes, np.int32).tobytes(), -1)
        return order[starts[group] : starts[group + 1]] if group >= 0 else np.zeros(0, np.intp)

    def labels(self, rows: Iterable[int]) -> tuple[Labels, ...]:
        """Label sets of these rows; each is decoded once."""
        if not self._labels:
            self._labels = [None] * self.size
        return tuple(self._labels[row] or self._decode(row) for row in rows)

    def _index(self) -> tuple[dict[bytes, int], NDArray[np.intp], NDArray[np.intp]]:
        """Group number by the bytes of its codes; rows by group, and where each group begins."""
        groups = self.groups(self.columns)
        first = [column[groups.first] for column in self.columns.values()]
        raw = np.stack(first, axis=1).astype(np.int32).tobytes() if first else b""
        width = 4 * len(first)
        numbers = {raw[i * width : (i + 1) * width]: i for i in range(groups.size)}
        starts = np.append(0, np.cumsum(np.bincount(groups.ids, minlength=groups.size)))
        return numbers, np.argsort(groups.ids, kind="stable"), starts

    def _decode(self, row: int) -> Labels:
        pairs = ((n, int(c[row])) for n, c in self.columns.items())
        made = Labels(tuple((n, self.symbols.decode(code)) for n, code in pairs if code))
        self._labels[row] = made
        return made

    def _only(self, wanted: frozenset[str]) -> "Frame":
        return Frame(self.symbols, {n: c for n, c in self.columns.items() if n in wanted}, self.size)


def group(frame: Frame) -> Groups:
    """Rows of a frame grouped by all its labels."""
    _, first, ids = np.unique(row_keys(frame), return_index=True, return_inverse=True)
    return Groups(ids.astype(np.intp).reshape(-1), len(first), first)


def row_keys(frame: Frame) -> NDArray[np.int64]:
    """One number per row, equal exactly where the labels are."""
    key = np.zeros(frame.size, np.int64)
    span = 1
    for column in frame.columns.values():
        size = int(column.max(initial=0)) + 1
        if span * size >= _SPAN:
            key = np.unique(key, return_inverse=True)[1].reshape(-1).astype(np.int64)
            span = int(key.max(initial=0)) + 1
        key = key * size + column
        span *= size
    return key


def concat(left: Frame, right: Frame) -> Frame:
    """The rows of both; a label only one side has is missing on the other."""
    names = {*left.columns, *right.columns}
    columns = {n: np.concatenate([_column(left, n), _column(right, n)]) for n in names}
    return Frame(left.symbols if left.columns else right.symbols, columns, left.size + right.size)


def _column(frame: Frame, name: str) -> NDArray[np.int32]:
    found = frame.columns.get(name)
    return np.zeros(frame.size, np.int32) if found is None else found
