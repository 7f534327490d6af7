"""The collector's own series about hosts (presence, clock, certificate), kept beside them as hosts of their own.

All that is told of a host between two writes is written together: whoever arrives is told of half a dozen times.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from collector.head import Head, UnknownSchemaError
from collector.head.decode import column
from collector.labels import NAME, Labels

_OWN = "\0own/"


@dataclass(slots=True)
class _Told:
    """What was last said of one host; `own` are labels without those in `shared`."""

    shared: Labels
    own: tuple[Labels, ...] = ()
    values: tuple[float, ...] = ()


class OwnSeries:
    """Lives in the head's thread; times are Unix seconds. A value stands until another is told, NaN is none."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._told: dict[str, _Told] = {}
        self._due: set[str] = set()

    def __len__(self) -> int:
        """How many hosts something is said of."""
        return len(self._told)

    def tell(self, host: str, shared: Labels, values: Mapping[Labels, float]) -> None:
        """New values of a host's series, by their labels without the `shared` ones; other series stay as they are."""
        told = self._told.setdefault(host, _Told(shared))
        if told.shared != shared:  # it has another name or site now: what was said under the old one is over
            self._head.remove(_OWN + host)
            told.shared = shared
        merged = {**dict(zip(told.own, told.values, strict=True)), **values}
        told.own, told.values = _same(tuple(merged)), tuple(merged.values())
        self._due.add(host)

    def write(self, at: float) -> None:
        """A sample of every series of the hosts that were told of since the last time."""
        due, self._due = self._due, set()
        for host in due:
            self._write(host, self._told[host], at)

    def repeating(self, now: Callable[[], float]) -> Iterator[None]:
        """Another sample of every series, a host at each step."""
        for host in list(self._told):
            if host in self._told:
                self._write(host, self._told[host], now())
                yield

    def forget(self, host: str) -> None:
        """Nothing is said of the host any more."""
        self._told.pop(host, None)
        self._due.discard(host)
        self._head.remove(_OWN + host)

    def _write(self, host: str, told: _Told, at: float) -> None:
        key = b"own%d" % len(told.own)  # series only come: their number says which they are
        present, values = column(told.values)
        try:
            self._head.append(_OWN + host, key, at, present, values)
        except UnknownSchemaError:
            self._head.register(_OWN + host, key, told.own, told.shared)
            self._head.append(_OWN + host, key, at, present, values)


@lru_cache(maxsize=64)
def named(name: str) -> Labels:
    """A series that a host has one of, by its name."""
    return Labels.of({NAME: name})


@lru_cache(maxsize=64)
def _same(own: tuple[Labels, ...]) -> tuple[Labels, ...]:
    """One object for all hosts of which the same is said."""
    return own
