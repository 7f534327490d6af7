"""Label sets shared by many series, interned and counted, with an inverted index from label value to sets.

The labels a host's series share are one more such set. Sparse by label name: an agent that invents names costs what it
sends, not names times series.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from collector.head.matcher import Match, Matcher
from collector.head.symbols import Symbols
from collector.labels import Labels

_Numbers = NDArray[np.int32]
_REMEMBERED = 16


class LabelSets:
    """Interned label sets; number 0 stands for none and is never given out."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols
        self._sets: list[Labels | None] = [None]
        self._ids: dict[Labels, int] = {}
        self._free: list[int] = []
        self._postings: dict[str, dict[int, int | set[int]]] = {}  # name -> value -> the set, or the sets
        self._dense: dict[str, NDArray[np.int32]] = {}
        self._uses = np.zeros(64, np.int64)
        self._remembered: dict[int, tuple[tuple[Labels, ...], _Numbers]] = {}
        self.tags = np.full(64, -1, np.int16)  # a note of the caller's on each set, -1 for a new one

    def __len__(self) -> int:
        return len(self._sets)

    @property
    def live(self) -> int:
        """How many label sets are in use."""
        return len(self._ids)

    def numbers(self, every: Iterable[Labels]) -> _Numbers:
        """Numbers of label sets, given now where there is none; those nobody holds are to be held next."""
        ids, add = self._ids, self._add
        return np.array([number if (number := ids.get(one)) is not None else add(one) for one in every], np.int32)

    def hold(self, numbers: _Numbers) -> None:
        """One more use for each number."""
        np.add.at(self._uses, numbers, 1)

    def held(self, every: Sequence[Labels]) -> _Numbers | None:
        """Numbers of different label sets, each with one more use; None, and none has, where one comes twice.

        A tuple is not looked up again when the very same comes again: a fleet's hosts have the same series.
        """
        known = self._remembered.get(id(every))  # nobody else has that id while we hold the tuple
        numbers = self.numbers(every) if known is None else known[1]
        self.hold(numbers)
        if known is None and len(np.unique(numbers)) != len(numbers):
            self.release(numbers)
            return None
        if known is None and isinstance(every, tuple):
            if len(self._remembered) >= _REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[id(every)] = every, numbers
        return numbers

    def release(self, numbers: NDArray[np.int32]) -> None:
        """One use less for each number; a set without uses is forgotten."""
        np.subtract.at(self._uses, numbers, 1)
        for number in np.unique(numbers[self._uses[numbers] == 0]):
            self._forget(int(number))

    def used(self, number: int) -> bool:
        """True while the set has a use."""
        return bool(self._uses[number] > 0)

    def labels(self, number: int) -> Labels:
        """The label set of a number."""
        return self._sets[number] or Labels()

    def has(self, name: str) -> bool:
        """True when any set has this label."""
        return name in self._postings

    def names(self, numbers: NDArray[np.int32]) -> set[str]:
        """Label names of these sets, asked the shorter way round."""
        if len(numbers) > 64 * len(self._postings):
            return {name for name in self._postings if self.column(name)[numbers].any()}
        return {name for number in numbers.tolist() for name, _ in self.labels(number)}

    def column(self, name: str) -> NDArray[np.int32]:
        """Symbol of one label for every set number, 0 where it does not exist; it may be longer than needed."""
        if name not in self._postings:
            return np.zeros(len(self._uses), np.int32)
        if name not in self._dense:
            self._dense[name] = self._spread(self._postings[name])
        return self._dense[name]

    def matching(self, matchers: Sequence[Matcher]) -> NDArray[np.int32]:
        """Numbers of the sets that all matchers accept, found from the label values and not by looking at every set."""
        sure = [self._numbers(m) for m in matchers if not m.accepts("")]
        found = min(sure, key=len) if sure else self._all()
        for numbers in sure:
            if numbers is not found:
                found = np.intersect1d(found, numbers, assume_unique=True)
        for matcher in matchers:
            if matcher.accepts(""):
                found = found[self.accepted(matcher, found)]
        return found

    def accepted(self, matcher: Matcher, numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
        """For each number, whether the matcher accepts its set; each distinct value is asked once."""
        codes, inverse = np.unique(self.column(matcher.name)[numbers], return_inverse=True)
        verdicts = np.array([matcher.accepts(self._symbols.decode(int(code))) for code in codes], np.bool_)
        return verdicts[inverse.reshape(-1)]

    def recode(self, symbols: Symbols) -> None:
        """Move to another dictionary."""
        self._symbols = symbols
        self._postings = {}
        self._dense = {}
        for number, labels in enumerate(self._sets):
            if labels is not None:
                self._encode(number, labels)

    def _all(self) -> _Numbers:
        return np.flatnonzero(self._uses[: len(self._sets)] > 0).astype(np.int32)

    def _numbers(self, matcher: Matcher) -> _Numbers:
        values = self._postings.get(matcher.name, {})
        if matcher.match is Match.EQUAL:
            code = self._symbols.find(matcher.value)
            chosen = [values[code]] if code in values else []
        else:
            chosen = [sets for code, sets in values.items() if matcher.accepts(self._symbols.decode(code))]
        flat: list[int] = []
        for sets in chosen:
            flat.extend([sets] if isinstance(sets, int) else sets)
        return np.array(flat, np.int32)

    def _spread(self, values: dict[int, int | set[int]]) -> NDArray[np.int32]:
        dense = np.zeros(len(self._uses), np.int32)
        for code, sets in values.items():
            dense[sets if isinstance(sets, int) else list(sets)] = code
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
            self.tags = np.concatenate([self.tags, np.full(len(self.tags), -1, np.int16)])
            self._dense.clear()
        self.tags[number] = -1
        self._ids[labels] = number
        self._encode(number, labels)
        return number

    def _encode(self, number: int, labels: Labels) -> None:
        for name, value in labels:
            code = self._symbols.encode(value)
            values = self._postings.setdefault(name, {})
            sets = values.get(code)
            if sets is None:
                values[code] = number
            elif isinstance(sets, int):
                values[code] = {sets, number}
            else:
                sets.add(number)
            if name in self._dense:
                self._dense[name][number] = code

    def _forget(self, number: int) -> None:
        self._remembered.clear()
        for name, value in self.labels(number):
            self._unlist(name, self._symbols.encode(value), number)
        del self._ids[self.labels(number)]
        self._sets[number] = None
        self._free.append(number)

    def _unlist(self, name: str, code: int, number: int) -> None:
        values = self._postings[name]
        sets = values[code]
        if isinstance(sets, set):
            sets.discard(number)
        if isinstance(sets, int) or not sets:
            del values[code]
        if name in self._dense:
            self._dense[name][number] = 0
        if not values:
            del self._postings[name]
            self._dense.pop(name, None)
