"""The oracle ledger: what the product owes, written down outside of it, and whether a database paid it.

One JSON object a line; several processes may write, each into a file of its own. `czuwak bench swarm --ledger F` writes
the same lines. After a last phase without faults, `judge` holds them against the tickets.

    {"what": "acked", "agent": A, "epoch": E, "lane": "live", "through": 7, "at": T}   durable, says the collector
    {"what": "crossed", "agent": A, "epoch": E, "seq": 5, "at": T}    first batch over the threshold is taken
    {"what": "confirmed", ...}   a batch over the threshold was acknowledged in the live lane: a ticket is owed
    {"what": "back", "held": S}  first batch under it again; one over it was acknowledged S s after "confirmed"
    {"what": "cleared", ...}     such a batch was acknowledged in the live lane: the recovery is owed
    {"what": "dropped", "agent": A, "epoch": E, "count": 3}           pushed out before anybody acknowledged it
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from collector.store import open_store
from collector.store import tables as t


class Book:
    """One process' pages of the ledger; a line is on its way to the disk when the call returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def note(self, what: str, agent: str, epoch: str = "", **more: object) -> None:
        """One line, now."""
        line = {"what": what, "agent": agent, "epoch": epoch, "at": time.time(), **more}
        self._file.write(json.dumps(line) + "\n")


@dataclass(slots=True)
class Episode:
    """One crossing of one agent, as seen from outside."""

    agent: str
    crossed: float
    confirmed: float | None = None
    back: float | None = None
    cleared: float | None = None
    held: float | None = None  # a batch so much later, still over the threshold, was acknowledged live

    def owed(self, hold: float, until: float) -> bool:
        """Whether a ticket must exist by `until`: acknowledged at the live edge, and it held its `for` there."""
        if self.held is None:
            return self.confirmed is not None and (self.back or until) - self.crossed >= hold
        return self.confirmed is not None and self.held >= hold


@dataclass(slots=True)
class Owed:
    """All obligations of a run."""

    episodes: list[Episode] = field(default_factory=list)
    acked: dict[tuple[str, str, str], int] = field(default_factory=dict)  # (agent, epoch, lane) -> highest number
    dropped: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def fresh(self, since: float) -> set[str]:
        """Agents whose crossing since then was acknowledged: the fresh event a healthy system must serve."""
        return {each.agent for each in self.episodes if each.crossed >= since and each.confirmed is not None}


@dataclass(frozen=True, slots=True)
class Paid:
    """What the database holds for one host and rule."""

    tickets: int = 0
    occurrences: int = 0
    open: int = 0
    not_recovered: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`missing`: owed, without their ticket. `extra`: tickets nobody owes. `twice`: two open for one problem.

    `stuck`: the recovery is owed, the ticket still says that it burns.
    """

    episodes: int
    tickets: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    twice: tuple[str, ...]
    stuck: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing twice, nothing invented."""
        return not (self.missing or self.extra or self.twice or self.stuck)

    def __str__(self) -> str:
        found = f"{self.episodes} episodes owed, {self.tickets} kept, {len(self.missing)} missing"
        found += f", {len(self.extra)} extra, {len(self.twice)} twice, {len(self.stuck)} not recovered"
        shown = [*self.missing, *self.extra, *self.twice, *self.stuck][:5]
        return found + (f" ({'; '.join(shown)})" if shown else "")


def read(paths: Iterable[Path]) -> Owed:
    """The obligations of all pages; a last line that was cut by a kill does not count."""
    owed = Owed()
    running: dict[str, Episode] = {}
    for line in sorted((each for path in paths for each in _lines(path)), key=lambda line: float(line["at"])):
        agent, at = str(line["agent"]), float(line["at"])
        match line["what"]:
            case "acked":
                _acked(owed, line)
            case "crossed":
                running[agent] = Episode(agent, at)
                owed.episodes.append(running[agent])
            case "confirmed" | "back" | "cleared" as what if agent in running:
                setattr(running[agent], what, at)
                running[agent].held = line.get("held") if what == "back" else running[agent].held
            case "dropped":
                owed.dropped[agent] += int(line["count"])
    return owed


def paid(url: str, rule: str) -> dict[str, Paid]:
    """Host -> what the database holds, for one rule; read without any of the product's queries."""
    found: dict[str, Paid] = {}
    with closing(open_store(url)) as store, store.read() as conn:
        c = t.ticket.c
        query = sa.select(c.host, c.occurrences, c.closed_at, c.recovered_at).where(c.rule_name == rule)
        for host, occurrences, closed, recovered in conn.execute(query):
            was = found.get(host or "", Paid())
            found[host or ""] = Paid(
                was.tickets + 1,
                was.occurrences + occurrences,
                was.open + (closed is None),
                was.not_recovered + (closed is None and recovered is None),
            )
    return found


def tickets_by_rule(url: str) -> dict[str, int]:
    """Rule's name -> tickets it ever opened."""
    with closing(open_store(url)) as store, store.read() as conn:
        query = sa.select(t.ticket.c.rule_name, sa.func.count()).group_by(t.ticket.c.rule_name)
        return {str(rule): int(count) for rule, count in conn.execute(query)}


def counted_lost(url: str) -> int:
    """Batches of which the collector knows that they never come."""
    with closing(open_store(url)) as store, store.read() as conn:
        return int(conn.scalar(sa.select(sa.func.sum(t.host.c.lost))) or 0)


def opened(url: str, rule: str) -> list[tuple[str, float]]:
    """Host and the time of its ticket, for one rule, oldest first."""
    with closing(open_store(url)) as store, store.read() as conn:
        c = t.ticket.c
        query = sa.select(c.host, c.created_at).where(c.rule_name == rule).order_by(c.created_at)
        return [(host or "", float(at)) for host, at in conn.execute(query)]


def judge(owed: Owed, held: Mapping[str, Paid], *, hold: float = 0.0, until: float | None = None) -> Verdict:
    """Exactly one occurrence an owed episode; one that ended or was confirmed too late may have one or none.

    `hold` is the rule's `for`, `until` the end of the run. A recurrence reopens or counts on the same ticket, so what
    is compared is occurrences, and at most one ticket of a host and rule is open.
    """
    until = time.time() if until is None else until
    by_agent: dict[str, list[Episode]] = defaultdict(list)
    for episode in owed.episodes:
        by_agent[episode.agent].append(episode)
    missing, extra, must_all = [], [], 0
    for agent in sorted({*by_agent, *held}):
        episodes = by_agent.get(agent, [])
        must = sum(episode.owed(hold, until) for episode in episodes)
        kept = held.get(agent, Paid()).occurrences
        must_all += must
        missing += [f"{agent}: {must} owed, {kept} kept"] * max(0, must - kept)
        extra += [f"{agent}: at most {len(episodes)} owed, {kept} kept"] * max(0, kept - len(episodes))
    return Verdict(
        must_all,
        sum(each.occurrences for each in held.values()),
        tuple(missing),
        tuple(extra),
        tuple(f"{agent}: {each.open} open" for agent, each in sorted(held.items()) if each.open > 1),
        tuple(f"{agent} burns" for agent, last in _last(by_agent) if last.cleared and _burns(held, agent)),
    )


def verdict(paths: Iterable[Path], url: str, rule: str, *, hold: float = 0.0) -> Verdict:
    """All of it: pages against a database."""
    return judge(read(paths), paid(url, rule), hold=hold)


def _last(by_agent: Mapping[str, list[Episode]]) -> Iterator[tuple[str, Episode]]:
    return ((agent, episodes[-1]) for agent, episodes in sorted(by_agent.items()) if episodes)


def _burns(held: Mapping[str, Paid], agent: str) -> bool:
    return held.get(agent, Paid()).not_recovered > 0


def _acked(owed: Owed, line: Mapping[str, Any]) -> None:
    key = (str(line["agent"]), str(line["epoch"]), str(line["lane"]))
    through = int(line["through"])
    owed.acked[key] = max(owed.acked.get(key, 0), through)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line
