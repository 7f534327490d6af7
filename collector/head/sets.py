"""Label sets shared by many series, interned and counted; the labels a host's series share are one more such set.

Sparse by label name: an agent that invents names costs what it sends, not names times series.
"""

import numpy as np
from numpy.typing import NDArray

from collector.head.matcher import Matcher
from collector.head.symbols import Symbols
from collector.labels import Labels


class LabelSets:
    """Interned label sets; number 0 stands for none and is never given out."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols
        self._sets: list[Labels | None] = [None]
        self._ids: dict[Labels, int] = {}
        self._free: list[int] = []
        self._columns: dict[str, dict[int, int]] = {}
        self._dense: dict[str, NDArray[np.int32]] = {}
        self._uses = np.zeros(64, np.int64)

    def __len__(self) -> int:
        return len(self._sets)

    @property
    def live(self) -> int:
        """How many label sets are in use."""
        return len(self._ids)

    def hold(self, labels: Labels) -> int:
        """The number of a label set, with one more use."""
        number = self._ids.get(labels)
        if number is None:
            number = self._add(labels)
        self._uses[number] += 1
        return number

    def release(self, numbers: NDArray[np.int32]) -> None:
        """One use less for each number; a set without uses is forgotten."""
        np.subtract.at(self._uses, numbers, 1)
        for number in np.unique(numbers[self._uses[numbers] == 0]):
            self._forget(int(number))

    def find(self, labels: Labels) -> int:
        """The number of a label set, -1 if it is not in use."""
        return self._ids.get(labels, -1)

    def labels(self, number: int) -> Labels:
        """The label set of a number."""
        return self._sets[number] or Labels()

    def has(self, name: str) -> bool:
        """True when any set has this label."""
        return name in self._columns

    def names(self, numbers: NDArray[np.int32]) -> set[str]:
        """Label names of these sets, asked the shorter way round."""
        if len(numbers) > len(self._columns):
            return {name for name in self._columns if self.column(name)[numbers].any()}
        return {name for number in numbers for name, _ in self.labels(int(number))}

    def column(self, name: str) -> NDArray[np.int32]:
        """Symbol of one label for every set number, 0 where it does not exist."""
        if name not in self._columns:
            return np.zeros(len(self._sets), np.int32)
        if name not in self._dense:
            self._dense[name] = self._spread(self._columns[name])
        return self._dense[name]

    def accepted(self, matcher: Matcher) -> NDArray[np.bool_]:
        """For every set number, whether the matcher accepts it; each distinct value is asked once."""
        column = self.column(matcher.name)
        codes, inverse = np.unique(column, return_inverse=True)
        verdicts = np.array([matcher.accepts(self._symbols.decode(int(code))) for code in codes], np.bool_)
        return verdicts[inverse.reshape(-1)]

    def recode(self, symbols: Symbols) -> None:
        """Move to another dictionary."""
        self._symbols = symbols
        self._columns = {}
        self._dense = {}
        for number, labels in enumerate(self._sets):
            if labels is not None:
                self._encode(number, labels)

    def _spread(self, codes: dict[int, int]) -> NDArray[np.int32]:
        dense = np.zeros(len(self._sets), np.int32)
        dense[np.fromiter(codes.keys(), np.intp, len(codes))] = np.fromiter(codes.values(), np.int32, len(codes))
        return dense

    def _add(self, labels: Labels) -> int:
        if self._free:
            number = self._free.pop()
            self._sets[number] = labels
        else:
            number = len(self._sets)
            self._sets.append(labels)
        if number >= len(self._uses):
            self._uses = np.concatenate([self._uses, np.zeros(len(self._uses), np.int64)])
        self._ids[labels] = number
        self._encode(number, labels)
        return number

    def _encode(self, number: int, labels: Labels) -> None:
        self._dense.clear()
        for name, value in labels:
            self._columns.setdefault(name, {})[number] = self._symbols.encode(value)

    def _forget(self, number: int) -> None:
        labels = self.labels(number)
        self._dense.clear()
        for name, _ in labels:
            codes = self._columns[name]
            del codes[number]
            if not codes:
                del self._columns[name]
        del self._ids[labels]
        self._sets[number] = None
        self._free.append(number)
