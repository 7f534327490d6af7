"""The series table: which label set each row has, and select by matchers from the label values' inverted index.

A row's labels are its own set (shared by the same series of all hosts) and its host's set.
"""

from array import array
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from collector.head.errors import HeadError
from collector.head.frame import Frame
from collector.head.matcher import Match, Matcher
from collector.head.sets import LabelSets
from collector.head.symbols import Symbols
from collector.labels import NAME, Labels

_MAX_NAMES = 100_000
_MAX_CELLS = 200_000_000  # label names x series of one selection
_FEW_HOSTS = 64
_MOST_UNLISTED = 256

RowsOfHost = Callable[[int], NDArray[np.int32]]


class SeriesTable:
    """Rows 0..size-1; `own[row]` is 0 where a row is free."""

    def __init__(self) -> None:
        self.symbols = Symbols()
        self.own_sets = LabelSets(self.symbols)
        self.host_sets = LabelSets(self.symbols)
        self.own = np.zeros(64, np.int32)
        self.host = np.zeros(64, np.int32)
        self.host_set = np.zeros(64, np.int32)
        self.size = 0
        self._generation = 0
        self._versions: dict[str, int] = {}
        self._base = 0
        self._free = array("i")
        self._rows_of: dict[int, int | array[int]] = {}  # own set -> its row, or rows; some of them may be gone
        self._gone: dict[int, int] = {}  # own set -> how many of those
        self._came: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []  # own sets and rows that are not listed yet

    @property
    def live(self) -> int:
        """How many series there are."""
        return self.size - len(self._free)

    @property
    def bytes(self) -> int:
        """Memory of the arrays."""
        return self.own.nbytes + self.host.nbytes + self.host_set.nbytes + 4 * self.size

    def add(self, host: int, own: NDArray[np.int32]) -> NDArray[np.int32]:
        """New rows in order for a host's series with these own sets, which are held; `set_host` gives the host its own.

        They are listed when somebody looks for series next: those of a herd together.
        """
        rows = self._new_rows(len(own))
        self.own[rows] = own
        self.host[rows] = host
        if len(rows):
            self._came.append((own, rows))
        if len(self._came) >= _MOST_UNLISTED:
            self._settle()
        return rows

    def set_host(self, host: int, labels: Labels) -> None:
        """The labels all series of a host share."""
        if host >= len(self.host_set):
            self.host_set = np.concatenate([self.host_set, np.zeros(max(host, len(self.host_set)), np.int32)])
        number = self.host_sets.numbers((labels,))
        self.host_sets.hold(number)
        self.host_set[host] = number[0]

    def free_host(self, host: int) -> None:
        """The host has no labels any more; its rows must be free."""
        self.host_sets.release(self.host_set[host : host + 1])
        self.host_set[host] = 0

    def free(self, rows: NDArray[np.int32]) -> None:
        """Forget these series."""
        self._settle()
        own = self.own[rows]
        self._touch(own)
        self.own_sets.release(own)
        self.own[rows] = 0
        self._free.extend(rows.tolist())
        numbers, counts = np.unique(own, return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            self._unlist(number, count)

    def version(self, matchers: Sequence[Matcher]) -> int:
        """Changes whenever the series these matchers accept may have changed."""
        self._settle()
        for matcher in matchers:
            if matcher.name == NAME and matcher.match is Match.EQUAL:
                return max(self._base, self._versions.get(matcher.value, 0))
        return self._generation

    def find(self, matchers: Sequence[Matcher], rows_of_host: RowsOfHost) -> tuple[Frame, NDArray[np.int32]]:
        """Label columns and rows of the series all matchers accept."""
        self._settle()
        local = [m for m in matchers if not self.host_sets.has(m.name)]
        shared = [m for m in matchers if m not in local]
        rows = self._of_few_hosts(shared, rows_of_host) if not local else None
        if rows is None:
            rows = self._rows(self.own_sets.matching(local))
        for matcher in shared:
            rows = rows[self._accepts(matcher, rows)]
        return self._frame(rows), rows

    def breadth(self, matchers: Sequence[Matcher], rows_of_host: RowsOfHost) -> int:
        """How many rows `find` goes through."""
        self._settle()
        local = [m for m in matchers if not self.host_sets.has(m.name)]
        few = self._of_few_hosts([m for m in matchers if m not in local], rows_of_host) if not local else None
        if few is not None:
            return len(few)
        rows = (self._rows_of[number] for number in self.own_sets.matching(local).tolist())
        return sum(1 if isinstance(each, int) else len(each) for each in rows)

    def renew_symbols(self) -> None:
        """Start a new dictionary of the strings in use, when most of the old one is not."""
        if len(self.symbols) > 10_000 + 32 * (self.own_sets.live + self.host_sets.live):
            self.symbols = Symbols()
            self.own_sets.recode(self.symbols)
            self.host_sets.recode(self.symbols)
            self._forget_versions()

    def _of_few_hosts(self, matchers: Sequence[Matcher], rows_of_host: RowsOfHost) -> NDArray[np.int32] | None:
        """Rows that one of these matchers can accept when that is only few hosts' rows."""
        for matcher in matchers:
            if matcher.match is Match.EQUAL and matcher.value:
                sets = self.host_sets.matching((matcher,))
                hosts = np.flatnonzero(np.isin(self.host_set, sets)) if len(sets) <= _FEW_HOSTS else ()
                if len(sets) <= _FEW_HOSTS and len(hosts) <= _FEW_HOSTS:
                    own = self._rows(self.own_sets.matching((matcher,)))
                    return np.unique(np.concatenate([own, *(rows_of_host(int(host)) for host in hosts)]))
        return None

    def _rows(self, sets: NDArray[np.int32]) -> NDArray[np.int32]:
        """Rows that have one of these own sets, in order."""
        wanted = sets.tolist()
        single = [row for number in wanted if isinstance(row := self._rows_of[number], int)]
        many = [self._listed(number) for number in wanted if not isinstance(self._rows_of[number], int)]
        return np.sort(np.concatenate([np.array(single, np.int32), *many]))

    def _listed(self, number: int) -> NDArray[np.int32]:
        rows = np.array(self._rows_of[number], np.int32)
        return np.unique(rows[self.own[rows] == number]) if number in self._gone else rows

    def _settle(self) -> None:
        """List the rows that came since the last time."""
        if not self._came:
            return
        came, self._came = self._came, []
        own, rows = (np.concatenate(each) for each in zip(*came, strict=True))
        order = np.argsort(own, kind="stable")
        numbers, first = np.unique(own[order], return_index=True)
        for number, mine in zip(numbers.tolist(), np.split(rows[order], first[1:]), strict=True):
            self._list(number, mine)
        self._touch(own)

    def _list(self, number: int, new: NDArray[np.int32]) -> None:
        rows = self._rows_of.get(number)
        if rows is None and len(new) == 1:
            self._rows_of[number] = int(new[0])
            return
        if not isinstance(rows, array):
            rows = self._rows_of[number] = array("i", () if rows is None else (rows,))
        rows.frombytes(new.tobytes())

    def _unlist(self, number: int, count: int) -> None:
        """Rows are struck off when many are gone; until then they are seen to be another's."""
        if not self.own_sets.used(number):
            del self._rows_of[number]
            self._gone.pop(number, None)
            return
        gone = self._gone[number] = self._gone.get(number, 0) + count
        rows = self._rows_of[number]
        if not isinstance(rows, int) and gone * 2 > len(rows):
            self._rows_of[number] = array("i", self._listed(number).tolist())
            del self._gone[number]

    def _touch(self, own: NDArray[np.int32]) -> None:
        """Series of these label sets came or went: a selection that names another metric is still good."""
        self._generation += 1
        for number in np.unique(own).tolist():
            self._versions[self.own_sets.labels(number).get(NAME)] = self._generation
        if len(self._versions) > _MAX_NAMES:
            self._forget_versions()

    def _forget_versions(self) -> None:
        self._generation += 1
        self._base, self._versions = self._generation, {}

    def _new_rows(self, count: int) -> NDArray[np.int32]:
        """Rows that are free: as many as there are of the old ones only if that is enough."""
        if 0 < count <= len(self._free):
            rows = np.sort(np.array(self._free[-count:], np.int32))
            del self._free[-count:]
            return rows
        self.size += count
        if self.size > len(self.own):
            more = np.zeros(max(self.size, len(self.own) * 5 // 4) - len(self.own), np.int32)
            self.own, self.host = np.concatenate([self.own, more]), np.concatenate([self.host, more])
        return np.arange(self.size - count, self.size, dtype=np.int32)

    def _accepts(self, matcher: Matcher, rows: NDArray[np.int32]) -> NDArray[np.bool_]:
        own, host = self.own[rows], self.host_set[self.host[rows]]
        mine, shared = self.own_sets.column(matcher.name)[own], self.host_sets.column(matcher.name)[host]
        values = np.where(mine > 0, mine, shared)
        if matcher.match in (Match.EQUAL, Match.NOT_EQUAL):  # a chart asks for one host of ten thousand
            code = self.symbols.find(matcher.value)
            equal = np.asarray(values == (-1 if code is None else code))
            return equal if matcher.match is Match.EQUAL else ~equal
        codes, inverse = np.unique(values, return_inverse=True)
        verdicts = np.array([matcher.accepts(self.symbols.decode(int(code))) for code in codes], np.bool_)
        return verdicts[inverse.reshape(-1)]

    def _frame(self, rows: NDArray[np.int32]) -> Frame:
        own, host = self.own[rows], self.host_set[self.host[rows]]
        names = self.own_sets.names(np.unique(own)) | self.host_sets.names(np.unique(host))
        if len(names) * len(rows) > _MAX_CELLS:
            raise HeadError(f"{len(rows)} series with {len(names)} label names are too much at once")
        columns = {}
        for name in names:
            mine, shared = self.own_sets.column(name)[own], self.host_sets.column(name)[host]
            columns[name] = _thrifty(np.where(mine > 0, mine, shared))
        return Frame(self.symbols, columns, len(rows))


def _thrifty(column: NDArray[np.int32]) -> NDArray[np.int32]:
    """The same column; where all rows have one value, as with a metric's name, it is stored once."""
    same = len(column) > 1 and bool((column == column[0]).all())
    return np.broadcast_to(column[:1].copy(), len(column)) if same else column
