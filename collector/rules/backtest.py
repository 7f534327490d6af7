"""What rules would have done in the past: history replayed over the same schedule and step that run live. Pure.

The past is asked for by `History`, which is a range query: at each moment of a replay an expression sees what it
would have seen then; a window sees one sample per `sampling` seconds instead of every one.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, EventKind
from collector.head import STALE, Head, Select
from collector.labels import NAME, Labels
from collector.promql import Line, evaluate_range, plan
from collector.promql.nodes import Range, Selector
from collector.promql.survey import nodes
from collector.rules.errors import RuleError
from collector.rules.model import Group, RecordRule
from collector.rules.schedule import Schedule

# (expression, start, end, step) -> its series at start, start + step, .. end; never more than CHUNK steps
History = Callable[[str, float, float, float], Iterable[Line]]

LOOKBACK = 300.0  # seconds
FINEST = 15.0  # seconds between two samples
CHUNK = 500  # steps asked for at once
MOST_STEPS = 100_000
MOST_SAMPLES = 20_000_000
MOST_EPISODES = 10_000
REOPEN_WINDOW = 86_400.0  # seconds; a fault that returns within it gets its old ticket back
_TOLD = frozenset({EventKind.RECOVERED, EventKind.GONE})


class BacktestError(RuleError):
    """The back-test cannot be done."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert from firing to its end; `ended_at` None: it still fires. Unix seconds.

    `again`: it came back so soon that the ticket of the episode before was opened again.
    """

    rule: str
    labels: Labels
    fired_at: float
    ended_at: float | None = None
    end: str = ""  # recovered, gone
    value: float = 0.0
    again: bool = False

    @property
    def ticket(self) -> bool:
        """False for a rule that only wants to be seen on its host's page."""
        return self.labels.get("ticket") != "no"

    def healed_within(self, seconds: float) -> bool:
        """True when it recovered by itself that soon after it fired."""
        return self.end == "recovered" and self.ended_at is not None and self.ended_at - self.fired_at <= seconds


@dataclass(frozen=True, slots=True)
class Report:
    """What happened; `failures` are (rule, what it said) of rules that could not be judged at some moment."""

    start: float
    end: float
    step: float
    evaluations: int
    series: int
    samples: int
    episodes: tuple[Episode, ...]
    failures: tuple[tuple[str, str], ...]

    @property
    def tickets(self) -> int:
        """Tickets that would have been opened."""
        return sum(one.ticket and not one.again for one in self.episodes)

    @property
    def reopened(self) -> int:
        """How often one would have been opened again."""
        return sum(one.ticket and one.again for one in self.episodes)

    @property
    def entries(self) -> int:
        """Episodes of rules labelled ticket="no": entries on their hosts' pages."""
        return sum(not one.ticket for one in self.episodes)

    def healed(self, within: float = 300.0) -> int:
        """Tickets whose every episode healed by itself within so many seconds."""
        return sum(all(one.healed_within(within) for one in ticket) for ticket in self._by_ticket())

    def summary(self, within: float = 300.0) -> str:
        """One sentence."""
        tickets, healed, minutes = self.tickets, self.healed(within), within / 60
        text = f"this would have opened {tickets} ticket{'' if tickets == 1 else 's'}"
        again = f", opened one again {self.reopened} times" if self.reopened else ""
        entries = f"; {self.entries} entries on hosts' pages" if self.entries else ""
        return f"{text}{again}, {healed} healed by themselves within {minutes:g} min{entries}"

    def _by_ticket(self) -> Iterable[list[Episode]]:
        tickets: list[list[Episode]] = []
        latest: dict[tuple[str, Labels], list[Episode]] = {}
        for episode in (one for one in self.episodes if one.ticket):
            key = (episode.rule, episode.labels)
            if episode.again and key in latest:
                latest[key].append(episode)
            else:
                latest[key] = [episode]
                tickets.append(latest[key])
        return tickets


def backtest(
    groups: Sequence[Group],
    history: History,
    start: float,
    end: float,
    step: float,
    *,
    reopen_window: float = REOPEN_WINDOW,
    give_up: Callable[[], bool] = lambda: False,
) -> Report:
    """Judges every group each `step` seconds from `start` to `end` on what `history` tells.

    Raises BacktestError when the span is too long, the history too large or `give_up()` says so; and whatever
    `history` raises.
    """
    steps = math.floor((end - start) / step + 1e-9) + 1 if step > 0 and end >= start else 0
    if not 0 < steps <= MOST_STEPS:
        raise BacktestError(f"{max(steps, 0)} steps; 1 to {MOST_STEPS} can be replayed")
    replay = _Replay(groups, history, start, step)
    for count in range(steps):
        if give_up():
            raise BacktestError("the back-test takes too long; shorten the time or widen the step")
        replay.advance(start + count * step, min(end, start + (count + CHUNK) * step))
    return replay.report(start + (steps - 1) * step, steps, reopen_window)


def aligned(start: float, end: float, step: float) -> float:
    """The first of the steps that end at `end`, not before `start`; `start` where they make no sense."""
    return end - math.floor((end - start) / step) * step if step > 0 and end >= start else start


def live(select: Select) -> History:
    """The history a head has. Raises EvaluationError as `evaluate_range` does."""
    return lambda expression, start, end, step: evaluate_range(plan(expression), select, start, end, step)


def selectors(groups: Iterable[Group]) -> tuple[str, ...]:
    """The series that rules read and do not write themselves, as expressions."""
    rules = [rule for group in groups for rule in group.rules]
    own = {rule.name for rule in rules if isinstance(rule, RecordRule)} | {"ALERTS", "ALERTS_FOR_STATE"}
    found: dict[str, None] = {}
    for rule in rules:
        for node in nodes(rule.plan.root):
            if isinstance(node, Selector) and not any(m.name == NAME and m.value in own for m in node.matchers):
                found["{" + ",".join(map(str, node.matchers)) + "}"] = None
    return tuple(found)


def sampling(groups: Iterable[Group], step: float) -> float:
    """Seconds between two samples: the step, or a part of it so that every window has four."""
    ranges = [
        node.seconds
        for group in groups
        for rule in group.rules
        for node in nodes(rule.plan.root)
        if isinstance(node, Range)
    ]
    finest = max(FINEST, min([step, *(seconds / 4 for seconds in ranges)]))
    return step / math.ceil(step / finest - 1e-9) if finest < step else step


@dataclass(slots=True)
class _Pieces:
    """The history as columns in time order, fetched some steps ahead."""

    history: History
    wanted: tuple[str, ...]
    step: float
    offset: float  # time of column 0
    columns: dict[int, dict[Labels, float]] = field(default_factory=dict)
    fetched: int | None = None
    samples: int = 0
    series: set[Labels] = field(default_factory=set)

    def column(self, number: int, last: int) -> Mapping[Labels, float]:
        """Samples at `number` steps; fetches up to `last`."""
        if self.fetched is None or number > self.fetched:
            self._fetch(number, max(number, min(last, number + CHUNK - 1)))
        return self.columns.pop(number, {})

    def _fetch(self, first: int, last: int) -> None:
        self.fetched = last
        for expression in self.wanted:
            for line in self.history(expression, self.time(first), self.time(last), self.step):
                self.samples += len(line.at)
                if self.samples > MOST_SAMPLES:
                    raise BacktestError(f"more than {MOST_SAMPLES} samples; shorten the time or widen the step")
                self.series.add(line.labels)
                for at, value in zip(line.at, line.values, strict=True):
                    self.columns.setdefault(self.number(at), {})[line.labels] = value

    def number(self, at: float) -> int:
        """The last column not after `at`."""
        return math.floor((at - self.offset) / self.step + 1e-6)

    def time(self, number: int) -> float:
        """When a column is."""
        return number * self.step + self.offset


class _Replay:
    """A head that is filled as time goes, and the schedule over it."""

    def __init__(self, groups: Sequence[Group], history: History, start: float, step: float) -> None:
        self._start, self._step = start, step
        spacing = sampling(groups, step)
        reach = max((rule.plan.max_range for group in groups for rule in group.rules), default=0.0) + LOOKBACK
        self._head = Head(retention=reach + 2 * step, max_samples=int((reach + 2 * step) / spacing) + 8)
        self._pieces = _Pieces(history, selectors(groups), spacing, start)
        self._next = self._pieces.number(start - reach)
        self._present: frozenset[Labels] = frozenset()
        self._seen: dict[str, float] = {}  # instance -> its newest sample
        self._now = start
        self._tracker = _Tracker()
        self._schedule = Schedule(
            [replace(group, interval=max(group.interval or step, step)) for group in groups],
            (),
            started_at=start,
            default_interval=step,
            unknown_after=max(90.0, 3 * step),
            host_online=lambda labels: self._now - self._seen.get(labels.get("instance"), -math.inf) <= 3 * step,
            charts=False,
        )

    def advance(self, at: float, fetch_until: float) -> None:
        """Samples up to `at`, then one evaluation."""
        last = self._pieces.number(at)
        while self._next <= last:
            self._load(self._next, self._pieces.number(fetch_until))
            self._next += 1
        self._now = at
        self._schedule.run(self._head.select, at, commit=self._tracker.commit, record=self._head.set)
        for group in self._schedule.report():
            for rule in group.rules:
                if rule.health == "err":
                    self._tracker.failures[rule.name] = rule.last_error
        if round((at - self._start) / self._step) % CHUNK == 0:
            self._head.compact(at)

    def report(self, end: float, evaluations: int, reopen_window: float) -> Report:
        """All of it."""
        return Report(
            start=self._start,
            end=end,
            step=self._step,
            evaluations=evaluations,
            series=len(self._pieces.series),
            samples=self._pieces.samples,
            episodes=_reopened(self._tracker.episodes(), reopen_window),
            failures=tuple(self._tracker.failures.items()),
        )

    def _load(self, number: int, last: int) -> None:
        column = self._pieces.column(number, last)
        at = self._pieces.time(number)
        ended = self._present - column.keys()
        if column or ended:
            self._head.set([*column, *ended], [*column.values(), *([STALE] * len(ended))], at)
        self._present = frozenset(column)
        for instance in {labels.get("instance") for labels in column}:
            self._seen[instance] = at


@dataclass(slots=True)
class _Tracker:
    """Turns events into episodes, as the desk would see them."""

    open: dict[str, Episode] = field(default_factory=dict)
    closed: list[Episode] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def commit(self, changes: AlertChanges, _at: float) -> tuple[Alert, ...]:
        for event in changes.events:
            self._hear(event)
        return changes.upserts

    def episodes(self) -> list[Episode]:
        return sorted([*self.closed, *self.open.values()], key=lambda one: (one.fired_at, one.rule, one.labels))

    def _hear(self, event: AlertEvent) -> None:
        if event.kind is EventKind.FIRED:
            self.open[event.key] = Episode(event.rule_name, event.labels, event.at, value=event.value)
        elif event.kind in _TOLD and event.key in self.open:
            done = self.open.pop(event.key)
            self.closed.append(replace(done, ended_at=event.at, end=event.kind.value))
        if len(self.open) + len(self.closed) > MOST_EPISODES:
            raise BacktestError(f"more than {MOST_EPISODES} episodes; these rules would flood the queue")


def _reopened(episodes: Iterable[Episode], window: float) -> tuple[Episode, ...]:
    ended: dict[tuple[str, Labels], float] = {}
    return tuple(_marked(episodes, window, ended))


def _marked(episodes: Iterable[Episode], window: float, ended: dict[tuple[str, Labels], float]) -> Iterator[Episode]:
    for episode in episodes:
        key = (episode.rule, episode.labels)
        yield replace(episode, again=key in ended and episode.fired_at - ended[key] <= window)
        if episode.ended_at is not None:
            ended[key] = episode.ended_at
