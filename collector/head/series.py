"""The series table: which label set each row has, and select by matchers over all rows at once.

A row's labels are its own set (shared by the same series of all hosts) and its host's set.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from collector.head.errors import HeadError
from collector.head.frame import Frame
from collector.head.matcher import Match, Matcher
from collector.head.selection import Place
from collector.head.sets import LabelSets
from collector.head.symbols import Symbols
from collector.labels import NAME, Labels

_MAX_NAMES = 100_000
_MAX_CELLS = 200_000_000  # label names x series of one selection


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
        self._free: list[int] = []

    @property
    def live(self) -> int:
        """How many series there are."""
        return self.size - len(self._free)

    def add(self, host: int, own: Iterable[Labels]) -> NDArray[np.intp]:
        """New rows for a host's series; the caller gives the host its set by `set_host`."""
        numbers = [self.own_sets.hold(one) for one in own]
        rows = np.array([self._row() for _ in numbers], np.intp)
        self.own[rows] = numbers
        self.host[rows] = host
        self._touch(self.own[rows])
        return rows

    def set_host(self, host: int, labels: Labels) -> None:
        """The labels all series of a host share."""
        if host >= len(self.host_set):
            self.host_set = np.concatenate([self.host_set, np.zeros(max(host, len(self.host_set)), np.int32)])
        self.host_set[host] = self.host_sets.hold(labels)

    def free_host(self, host: int) -> None:
        """The host has no labels any more; its rows must be free."""
        self.host_sets.release(self.host_set[host : host + 1])
        self.host_set[host] = 0

    def free(self, rows: NDArray[np.intp]) -> None:
        """Forget these series."""
        self._touch(self.own[rows])
        self.own_sets.release(self.own[rows])
        self.own[rows] = 0
        self._free.extend(int(row) for row in rows)

    def version(self, matchers: Sequence[Matcher]) -> int:
        """Changes whenever the series these matchers accept may have changed."""
        for matcher in matchers:
            if matcher.name == NAME and matcher.match is Match.EQUAL:
                return max(self._base, self._versions.get(matcher.value, 0))
        return self._generation

    def labels(self, row: int) -> Labels:
        """The whole label set of one row."""
        host = self.host_sets.labels(int(self.host_set[self.host[row]]))
        return Labels.of({**host.as_dict(), **self.own_sets.labels(int(self.own[row])).as_dict()})

    def find(self, matchers: Sequence[Matcher]) -> tuple[Frame, Place]:
        """Label columns and places of the series all matchers accept."""
        local = [m for m in matchers if not self.host_sets.has(m.name)]
        wanted = np.ones(len(self.own_sets), np.bool_)
        wanted[0] = False
        for matcher in local:
            wanted &= self.own_sets.accepted(matcher)
        rows = np.flatnonzero(wanted[self.own[: self.size]])
        for matcher in matchers:
            if matcher not in local:
                rows = rows[self._accepts(matcher, rows)]
        hosts, host_of = np.unique(self.host[rows], return_inverse=True)
        return self._frame(rows), Place(rows, hosts.astype(np.intp), host_of.reshape(-1).astype(np.intp))

    def renew_symbols(self) -> None:
        """Start a new dictionary of the strings in use, when most of the old one is not."""
        if len(self.symbols) > 10_000 + 32 * (self.own_sets.live + self.host_sets.live):
            self.symbols = Symbols()
            self.own_sets.recode(self.symbols)
            self.host_sets.recode(self.symbols)
            self._forget_versions()

    def _touch(self, own: NDArray[np.int32]) -> None:
        """Series of these label sets came or went: a selection that names another metric is still good."""
        self._generation += 1
        for number in np.unique(own):
            self._versions[self.own_sets.labels(int(number)).get(NAME)] = self._generation
        if len(self._versions) > _MAX_NAMES:
            self._forget_versions()

    def _forget_versions(self) -> None:
        self._generation += 1
        self._base, self._versions = self._generation, {}

    def _row(self) -> int:
        if self._free:
            return self._free.pop()
        if self.size == len(self.own):
            self.own = np.concatenate([self.own, np.zeros_like(self.own)])
            self.host = np.concatenate([self.host, np.zeros_like(self.host)])
        self.size += 1
        return self.size - 1

    def _accepts(self, matcher: Matcher, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        own, host = self.own[rows], self.host_set[self.host[rows]]
        by_own, by_host = self.own_sets.accepted(matcher)[own], self.host_sets.accepted(matcher)[host]
        return np.where(self.own_sets.column(matcher.name)[own] > 0, by_own, by_host)

    def _frame(self, rows: NDArray[np.intp]) -> Frame:
        own, host = self.own[rows], self.host_set[self.host[rows]]
        names = self.own_sets.names(np.unique(own)) | self.host_sets.names(np.unique(host))
        if len(names) * len(rows) > _MAX_CELLS:
            raise HeadError(f"{len(rows)} series with {len(names)} label names are too much at once")
        columns = {}
        for name in names:
            mine, shared = self.own_sets.column(name)[own], self.host_sets.column(name)[host]
            columns[name] = np.where(mine > 0, mine, shared)
        return Frame(self.symbols, columns, len(rows))
