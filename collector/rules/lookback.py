"""What rules would have said while a host's samples could not reach us: the same step as live, in event time. Pure.

Nothing is opened from here. What is still true at the end lends its beginning to the live alert; what began and ended
unseen comes out as an Episode.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from collector.alerts.alert import Alert, AlertState, EventKind
from collector.head import Select
from collector.labels import Labels
from collector.promql import EvaluationError, PlanError, Result, Vector, evaluate_steps
from collector.promql.nodes import Call, Range
from collector.promql.survey import nodes
from collector.rules.alerting import Context, State, source_labels, step
from collector.rules.budget import bounded
from collector.rules.errors import RuleError
from collector.rules.model import AlertRule, Group, RecordRule, Rule
from collector.rules.series import Written, recorded, with_ends
from collector.rules.template import expand

FINEST = 15.0
COARSEST = 60.0  # seconds between two looks at the past
MOST_STEPS = 2000  # of one rule in one sweep
MOST_EPISODES = 50  # of one host
MOST_KEYS = 100_000
_EARLY = 0.001  # seconds: when `for` is over is the step's to say, not this sum's
Record = Callable[[Sequence[Labels], Sequence[float], float], None]

# A rule that cannot be judged on the past has no past: its alerts begin at the live edge.
_FAILURES = (RuleError, PlanError, EvaluationError, ArithmeticError, LookupError, ValueError)


@dataclass(frozen=True, slots=True)
class Episode:
    """A condition that was true long enough to fire and was over again before anybody could see it. Unix seconds."""

    rule: str
    alert: Alert
    start: float
    end: float

    @property
    def instance(self) -> str:
        """Whose it is."""
        return self.alert.labels.get("instance")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the past says of one host's alerts: true ones with their true start, and when others were last false."""

    alive: tuple[Alert, ...] = ()
    ended: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Looking:
    rule: Rule  # without its annotations: words are made for what comes of it, not at every look
    worded: Rule
    group: Group
    every: float
    next_at: float
    context: Context
    state: State = field(default_factory=State)
    seeds: list[Alert] = field(default_factory=list)  # held before the gap, taken in when their time comes
    written: Written = field(default_factory=dict)
    last: Vector | None = None  # what the last step saw, if all that is held matched it
    turn_at: float = -math.inf  # before it the same matches change nothing but times and values
    passed: tuple[float, Result] | None = None  # the newest look that changed nothing else, still to be taken in

    def steady(self, result: Result, at: float) -> bool:
        """Whether the step at `at` can be left to a later one: the same series match, and nothing is due."""
        last, seen = self.last, result.vector
        if last is None or at >= self.turn_at or seen.frame is not last.frame or len(seen) != len(last):
            return False
        return np.array_equal(seen.rows, last.rows) and not np.isnan(seen.values).any()

    def note(self, vector: Vector) -> None:
        """After a step: until when the same again is nothing new."""
        held = self.state.alerts.values()
        plain = all(a.unknown_since is None and a.keep_since is None for a in held) and self.named
        self.last = vector if plain and len(held) == len(vector) > 0 and not np.isnan(vector.values).any() else None
        waits = self.rule.for_seconds if isinstance(self.rule, AlertRule) else 0.0
        begun = (a.active_since + waits for a in held if a.state is AlertState.PENDING)
        self.turn_at = min(begun, default=math.inf) - _EARLY

    @property
    def named(self) -> bool:
        """Whether an alert's name depends on its series alone, not on its value."""
        labels = self.rule.labels.values() if isinstance(self.rule, AlertRule) else ()
        return not any("{{" in text for text in (*self.context.group_labels.values(), *labels))


def pace(rule: Rule) -> float:
    """Seconds between two looks: fine enough for `for` to be seen, never finer than agents usually send."""
    seconds = rule.for_seconds if isinstance(rule, AlertRule) else 0.0
    return max(FINEST, min(COARSEST, seconds / 4)) if seconds else COARSEST


def spacing(groups: Iterable[Group]) -> float:
    """Seconds that may lie between two samples so that every window still has four."""
    rules = [rule for group in groups for rule in group.rules]
    windows = [node.seconds / 4 for rule in rules for node in nodes(rule.plan.root) if isinstance(node, Range)]
    return max(1.0, min([COARSEST, *map(pace, rules), *windows]))


class Lookback:
    """The rules over one span of the past, of hosts that come through it together; `start` in Unix seconds."""

    def __init__(self, groups: Iterable[Group], *, key_of: Callable[[Labels], str], start: float) -> None:
        self.through = start
        self._ended: dict[str, dict[str, float]] = {}  # instance -> key -> when it was found false
        self._ticketed: set[str] = set()  # fired before the gap: their end is no news
        self._told: dict[str, int] = {}
        self._keys: dict[Labels, str] = {}
        self._key_of = key_of
        base = Context(key_of=self._key, started_at=start, host_online=lambda _labels: False)
        self._rules = [
            _Looking(
                _wordless(rule),
                rule,
                group,
                pace(rule),
                start,
                replace(base, group_labels=group.labels, limit=group.limit),
            )
            for group in groups
            for rule in group.rules
            if not _absence(rule)
        ]

    def begin(self, start: float) -> None:
        """Before the first sweep: one more host, whose gap may have begun earlier."""
        self.through = min(self.through, start)
        for looking in self._rules:
            looking.next_at = min(looking.next_at, start)

    def seed(self, alerts: Iterable[Alert]) -> None:
        """What was held when the gap began; each takes part from its own beginning on."""
        by_rule = {looking.rule.uid: looking for looking in self._rules}
        for alert in alerts:
            looking = by_rule.get(alert.rule)
            if looking is not None:
                looking.seeds.append(replace(alert, unknown_since=None))

    def sweep(self, select: Select, through: float, record: Record) -> Iterator[list[Episode]]:
        """Goes on to `through`, one look of one rule each time it is asked; what was missed."""
        for looking in self._rules:
            try:
                yield from self._go(looking, select, through, record)
            except _FAILURES:
                looking.last = looking.passed = None
            looking.next_at = max(looking.next_at, _after(through, looking.every))
        self.through = through

    def leave(self, instance: str) -> Outcome:
        """The host has come through: what is true of it, and nothing of it stays."""
        alive: list[Alert] = []
        for looking in self._rules:
            self._catch_up(looking)
            looking.seeds = [alert for alert in looking.seeds if alert.labels.get("instance") != instance]
            mine = {k: a for k, a in looking.state.alerts.items() if a.labels.get("instance") == instance}
            if mine:
                alive += (_worded(looking, alert) for key, alert in mine.items() if key not in self._ticketed)
                kept = {k: a for k, a in looking.state.alerts.items() if k not in mine}
                looking.state, looking.last = replace(looking.state, alerts=kept), None
                self._ticketed -= mine.keys()
        self._told.pop(instance, None)
        return Outcome(tuple(alive), self._ended.pop(instance, {}))

    def _go(self, looking: _Looking, select: Select, through: float, record: Record) -> Iterator[list[Episode]]:
        start = max(looking.next_at, _after(through - MOST_STEPS * looking.every, looking.every))
        if start > through:
            return
        offset = looking.group.query_offset
        steps = evaluate_steps(looking.rule.plan, bounded(select), start - offset, through - offset, looking.every)
        if isinstance(looking.rule, RecordRule):
            steps = iter(list(steps))  # what is recorded moves the memory that the steps are read from
        for seen_at, result in steps:
            at = seen_at + offset
            looking.next_at = at + looking.every
            if isinstance(looking.rule, RecordRule):
                _write(looking, looking.rule, result, seen_at, record)
                yield []
            else:
                yield self._look(looking, looking.rule, result, at)
        self._catch_up(looking)

    def _look(self, looking: _Looking, rule: AlertRule, result: Result, at: float) -> list[Episode]:
        due = any(_began(alert) <= at for alert in looking.seeds)
        if not due and looking.steady(result, at):
            looking.passed = (at, result)
            return []
        self._catch_up(looking)
        self._take_in(looking, at)
        return self._step(looking, rule, result, at)

    def _catch_up(self, looking: _Looking) -> None:
        """The looks that were passed over count now: of all of them only the newest leaves something behind."""
        passed, looking.passed = looking.passed, None
        if passed is not None and isinstance(looking.rule, AlertRule):
            self._step(looking, looking.rule, passed[1], passed[0])

    def _step(self, looking: _Looking, rule: AlertRule, result: Result, at: float) -> list[Episode]:
        before = looking.state
        if not before.alerts and not len(result.vector):
            looking.last = None
            return []
        taken = step(rule, before, result, at, looking.context)
        looking.state = taken.state
        looking.note(result.vector)
        for key in taken.changes.deletes:
            self._ended.setdefault(before.alerts[key].labels.get("instance"), {})[key] = at
        over = [before.alerts[e.key] for e in taken.changes.events if e.kind is EventKind.RECOVERED]
        return [_episode(looking, alert, at) for alert in over if self._news(alert)]

    def _take_in(self, looking: _Looking, at: float) -> None:
        due = [alert for alert in looking.seeds if _began(alert) <= at]
        if not due:
            return
        looking.seeds = [alert for alert in looking.seeds if _began(alert) > at]
        self._ticketed |= {alert.key for alert in due if alert.state is AlertState.FIRING}
        alerts = {**looking.state.alerts, **{alert.key: alert for alert in due}}
        looking.state = replace(looking.state, alerts=alerts)

    def _news(self, alert: Alert) -> bool:
        instance = alert.labels.get("instance")
        if alert.key in self._ticketed or not instance:
            self._ticketed.discard(alert.key)
            return False
        self._told[instance] = self._told.get(instance, 0) + 1
        return self._told[instance] <= MOST_EPISODES

    def _key(self, labels: Labels) -> str:
        key = self._keys.get(labels)
        if key is None:
            if len(self._keys) >= MOST_KEYS:
                self._keys.clear()
            key = self._keys[labels] = self._key_of(labels)
        return key


def _episode(looking: _Looking, alert: Alert, at: float) -> Episode:
    end = min(at, alert.last_true + looking.every)
    return Episode(looking.rule.name, _worded(looking, alert), alert.active_since, end)


def _wordless(rule: Rule) -> Rule:
    return replace(rule, annotations={}) if isinstance(rule, AlertRule) else rule


def _worded(looking: _Looking, alert: Alert) -> Alert:
    if not isinstance(looking.worded, AlertRule):
        return alert
    source = source_labels(looking.worded, alert.labels, looking.group.labels)
    words = {name: expand(text, source, alert.value) for name, text in looking.worded.annotations.items()}
    return replace(alert, annotations=words)


def _write(looking: _Looking, rule: RecordRule, result: Result, at: float, record: Record) -> None:
    written = recorded(rule, result, looking.group.labels, looking.group.limit)
    record(*with_ends(written, looking.written), at)
    looking.written = written


def _began(alert: Alert) -> float:
    return alert.active_since if alert.fired_at is None else alert.fired_at


def _after(at: float, every: float) -> float:
    """The first look later than `at`."""
    return (math.floor(at / every) + 1) * every


def _absence(rule: Rule) -> bool:
    """What is missing of the past says nothing: its samples are on their way."""
    return any(isinstance(node, Call) and node.name.startswith("absent") for node in nodes(rule.plan.root))
