"""When groups are judged and what is held between two times: order, missed iterations, health, reload.

Single-threaded: the engine's thread owns it. State in memory changes only after `commit` has returned.
"""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, AlertState, EventKind
from collector.head import Select
from collector.labels import Labels, canonical, dedup_key
from collector.promql import EvaluationError, PlanError, Result, evaluate
from collector.rules.alerting import ALERT_NAME, SOURCE, Context, State, Step, event, restore, source_labels, step
from collector.rules.amend import backdated, shifted
from collector.rules.budget import Breaker, BudgetError, Effort, allowance, bounded, too_slow
from collector.rules.errors import RuleError
from collector.rules.evidence import gather, proof
from collector.rules.model import AlertRule, Group, RecordRule, Rule
from collector.rules.report import GroupReport, RuleReport
from collector.rules.series import Written, alert_series, health, recorded, with_ends

MOST_EVIDENCE = 50  # charts gathered in one evaluation of a group
EVIDENCE_TIME = 0.5  # seconds: tickets come before charts when much breaks at once

Commit = Callable[[AlertChanges, float], Sequence[Alert]]
Record = Callable[[Sequence[Labels], Sequence[float], float], None]
Names = frozenset[tuple[str, str]]  # group and name of rules

# What hostile or unlucky data can raise in one rule's arithmetic: it stays that rule's own failure.
_SHOWN = frozenset({EventKind.FIRED, EventKind.RECOVERED})
_FAILURES = (RuleError, PlanError, EvaluationError, ArithmeticError, LookupError, ValueError)

_log = logging.getLogger(__name__)


def rules_key(labels: Labels) -> str:
    """The identity of an alert made by a rule: its company and its labels, whatever people call its host meanwhile."""
    return dedup_key(labels.get("company"), SOURCE, canonical(labels))


@dataclass(slots=True)
class _Running:
    """One rule and what is held of it."""

    rule: Rule
    state: State = field(default_factory=State)
    written: tuple[Labels, ...] = ()
    error: str | None = None  # None before the first evaluation
    breaker: Breaker = field(default_factory=Breaker)


@dataclass(slots=True)
class _Turn:
    """One group and its clock."""

    group: Group
    interval: float
    next_at: float
    rules: list[_Running]
    context: Context
    evaluated_at: float = 0.0
    duration: float = 0.0
    missed: int = 0
    early: float = 0.0  # so much sooner than its interval it comes the second time


_Steps = list[tuple[_Running, Step]]


class Schedule:
    """Judges groups of rules when they are due. Times in Unix seconds, intervals in seconds.

    `alerts` are those stored before the start: they keep `active_since`, so `for` goes on. Stored alerts whose
    rule is gone end with the first commit. `needs_proof` False: as promtool, see `unit`. `charts` False: events
    carry no evidence. `work` gives the seconds this thread has worked: a busy machine is no rule's fault.
    `owns` False: another collector judges what has these labels; no alert of it begins here.
    `elsewhere` are the rules that fail at other collectors, as `hear` takes them.
    `spread` True: groups of one interval are judged one after the other within it, after the first time.
    """

    def __init__(
        self,
        groups: Iterable[Group],
        alerts: Iterable[Alert],
        *,
        started_at: float,
        default_interval: float = 1.0,
        unknown_after: float = 90.0,
        gone_after: float = 3600.0,
        key_of: Callable[[Labels], str] = rules_key,
        host_online: Callable[[Labels], bool] = lambda _labels: True,
        owns: Callable[[Labels], bool] = lambda _labels: True,
        elsewhere: Names = frozenset(),
        spread: bool = False,
        needs_proof: bool = True,
        charts: bool = True,
        timer: Callable[[], float] = time.perf_counter,
        work: Callable[[], float] | None = None,
    ) -> None:
        self._default_interval = default_interval
        self._timer = timer
        self._work = work or Effort(time.thread_time, timer)
        self._charts = MOST_EVIDENCE if charts else 0
        self._context = Context(
            key_of=key_of,
            started_at=started_at,
            host_online=host_online,
            owns=owns,
            unknown_after=unknown_after,
            gone_after=gone_after,
            needs_proof=needs_proof,
        )
        held: dict[str, list[Alert]] = {}
        for alert in alerts:
            held.setdefault(alert.rule, []).append(alert)
        self._spread = spread
        self._turns = self._in_turn([self._turn(group, started_at) for group in groups])
        for running in self._running():
            running.state = restore(held.pop(running.rule.uid, ()))
        self._orphans = [alert for rest in held.values() for alert in rest]
        self._ended: tuple[Labels, ...] = ()
        self._mended: tuple[Labels, ...] = ()  # health series of rules that fail nowhere any more
        self._elsewhere = elsewhere

    def next_due(self) -> float:
        """When the next group is due; infinity without groups."""
        return min((turn.next_at for turn in self._turns), default=math.inf)

    def run(self, select: Select, at: float, *, commit: Commit, record: Record) -> None:
        """Judges every group that is due, in order, with one commit each; what `commit` raises passes through.

        After such an error the group's state is as it was, and the groups behind it are still due.
        """
        self._end_orphans(at, commit, record)
        self._tell_elsewhere(at, record)
        for turn in self._turns:
            if turn.next_at - at > turn.interval:  # the clock went back
                turn.next_at = at
            if turn.next_at <= at:
                self._evaluate(turn, select, at, commit, record)

    def replace(self, groups: Iterable[Group], at: float) -> AlertChanges:
        """Takes other groups. Rules that are still there keep their state; the changes end the alerts of the others.

        The caller commits the changes.
        """
        old = {running.rule.uid: running for running in self._running()}
        turns = {(turn.group.file, turn.group.name): turn for turn in self._turns}
        self._turns = self._in_turn(
            [self._successor(turns.get((group.file, group.name)), group, at) for group in groups]
        )
        for running in self._running():
            before = old.pop(running.rule.uid, None)
            if before is not None:
                running.state, running.written, running.error = before.state, before.written, before.error
        self._ended += tuple(labels for running in old.values() for labels in running.written)
        still = {labels for turn in self._turns for labels in self._health(turn)}
        told = (labels for turn in turns.values() for labels in self._health(turn))
        self._mended += tuple(labels for labels in told if labels not in still)
        leaving = [alert for running in old.values() for alert in running.state.alerts.values()]
        return _gone([*leaving], at, self._names())

    def adopt(self, alerts: Iterable[Alert], at: float) -> None:
        """Goes on with stored alerts as if they had been held all along; silence counts from `at`.

        Those of a rule that is not here end with the next commit.
        """
        arrived: dict[str, list[Alert]] = {}
        for alert in alerts:
            arrived.setdefault(alert.rule, []).append(alert)
        for running in self._running():
            fresh = {alert.key: alert for alert in arrived.pop(running.rule.uid, ())}
            if fresh:
                state = running.state
                running.state = replace(
                    state,
                    alerts={**state.alerts, **fresh},
                    considered_at={**state.considered_at, **dict.fromkeys(fresh, at)},
                )
        self._orphans += [alert for rest in arrived.values() for alert in rest]

    def release(self, leaves: Callable[[Labels], bool]) -> None:
        """Forgets the alerts whose labels say so: somebody else goes on with them. Nothing is written or told."""
        for running in self._running():
            state = running.state
            stay = {key: alert for key, alert in state.alerts.items() if not leaves(alert.labels)}
            if len(stay) < len(state.alerts):
                running.state = replace(state, alerts=stay)
        self._orphans = [alert for alert in self._orphans if not leaves(alert.labels)]

    def recall(self, keys: Collection[str], stored: Iterable[Alert], at: float) -> None:
        """Holds of these alerts what is stored and nothing else: of their last commit it was not known what it did."""
        for running in self._running():
            state = running.state
            sure = {key: alert for key, alert in state.alerts.items() if key not in keys}
            if len(sure) < len(state.alerts):
                running.state = replace(state, alerts=sure)
        self._orphans = [alert for alert in self._orphans if alert.key not in keys]
        self.adopt(stored, at)

    def failing(self) -> Names:
        """The rules that could not be judged here the last time."""
        return frozenset(
            (turn.group.name, running.rule.name) for turn in self._turns for running in turn.rules if running.error
        )

    def hear(self, elsewhere: Names) -> None:
        """Takes the rules that fail at other collectors: a rule that is blind anywhere is one problem everywhere.

        How a rule of ours stands once it works there is told by its own next evaluation.
        """
        ours = {(turn.group.name, running.rule.name) for turn in self._turns for running in turn.rules}
        self._mended += tuple(health(*name) for name in self._elsewhere - elsewhere - ours)
        self._elsewhere = elsewhere

    def report(self) -> tuple[GroupReport, ...]:
        """Every group and rule with its health, in order."""
        return tuple(
            GroupReport(
                name=turn.group.name,
                file=turn.group.file,
                interval=turn.interval,
                last_evaluation_at=turn.evaluated_at,
                last_duration=turn.duration,
                missed=turn.missed,
                rules=tuple(_rule_report(running) for running in turn.rules),
            )
            for turn in self._turns
        )

    def alerts(self) -> tuple[Alert, ...]:
        """Every alert held, with fresh values."""
        return tuple(alert for running in self._running() for alert in running.state.alerts.values())

    def alerts_of(self, instance: str) -> tuple[Alert, ...]:
        """Every alert held of one host."""
        return tuple(alert for alert in self.alerts() if alert.labels.get("instance") == instance)

    def backdate(self, alive: Sequence[Alert], ended: Mapping[str, float], at: float, *, begin: bool) -> AlertChanges:
        """What the past up to `at` says of one host's alerts, as `amend.backdated`; the caller commits the changes."""
        by_rule: dict[str, dict[str, Alert]] = {}
        for alert in alive:
            by_rule.setdefault(alert.rule, {})[alert.key] = alert
        upserts: list[Alert] = []
        for running in self._running():
            found = by_rule.get(running.rule.uid, {})
            running.state, changed = backdated(running.state, found, ended, at, begin=begin)
            upserts += changed
        return AlertChanges(tuple(upserts))

    def shift(self, instance: str, seconds: float, at: float) -> AlertChanges:
        """The host slept so long just now: no `for` of its alerts counts that. The caller commits the changes."""
        upserts: list[Alert] = []
        for running in self._running():
            running.state, changed = shifted(
                running.state, lambda alert: alert.labels.get("instance") == instance, seconds, at
            )
            upserts += changed
        return AlertChanges(tuple(upserts))

    def _running(self) -> Iterable[_Running]:
        return (running for turn in self._turns for running in turn.rules)

    def _names(self) -> frozenset[str]:
        return frozenset(running.rule.name for running in self._running())

    def _turn(self, group: Group, at: float) -> _Turn:
        context = replace(self._context, group_labels=group.labels, limit=group.limit)
        interval = group.interval or self._default_interval
        return _Turn(group, interval, at, [_Running(rule) for rule in group.rules], context)

    def _in_turn(self, turns: list[_Turn]) -> list[_Turn]:
        """Those that are new find their second of the interval: a fleet's whole pack in one second is late for all."""
        alike: dict[float, list[_Turn]] = {}
        for turn in turns if self._spread else ():
            alike.setdefault(turn.interval, []).append(turn)
        for interval, several in alike.items():
            for number, turn in enumerate(several, 1):
                steps = max(1, int(interval * number / len(several) / self._default_interval))
                turn.early = max(0.0, interval - steps * self._default_interval) if not turn.evaluated_at else 0.0
        return turns

    def _successor(self, before: _Turn | None, group: Group, at: float) -> _Turn:
        turn = self._turn(group, at)
        if before is not None:
            turn.next_at = min(before.next_at, at + turn.interval)
            turn.evaluated_at, turn.duration, turn.missed = before.evaluated_at, before.duration, before.missed
        return turn

    def _evaluate(self, turn: _Turn, select: Select, at: float, commit: Commit, record: Record) -> None:
        started = self._timer()
        late = int((at - turn.next_at) // turn.interval)
        turn.missed += late
        turn.next_at += (late + 1) * turn.interval - turn.early
        turn.early = 0.0
        steps: _Steps = []
        deadline = self._work() + allowance(turn.interval)
        for running in turn.rules:
            try:
                taken = self._attempt(turn, running, steps, select, at, record, deadline)
            except _FAILURES as error:
                _fail(turn, running, error)
            else:
                running.error = ""
                steps += [(running, taken)] if taken else []
        record(*with_ends(self._health(turn), ()), at)
        changes = _merged(taken.changes for _, taken in steps)
        stored = commit(self._with_evidence(turn, changes, select, at), at) if changes else ()
        _keep(steps, stored)
        turn.evaluated_at, turn.duration = at, self._timer() - started

    def _attempt(
        self,
        turn: _Turn,
        running: _Running,
        steps: _Steps,
        select: Select,
        at: float,
        record: Record,
        deadline: float,
    ) -> Step | None:
        """One rule within its budget. Raises BudgetError when it is switched off or the group's time is over."""
        running.breaker.check(at)
        began, allowed = self._work(), allowance(turn.interval)
        if began > deadline:
            raise BudgetError(f"left out: the rules of its group need more than {allowed:g} s of work")
        try:
            taken = self._judge(turn, running, steps, bounded(select), at, record)
        except BudgetError as error:
            running.breaker.strike(str(error), at)
            raise
        spent = self._work() - began
        if spent > allowed:
            running.breaker.strike(too_slow(spent, turn.interval), at)
        else:
            running.breaker.clear()
        return taken

    def _judge(
        self, turn: _Turn, running: _Running, steps: _Steps, select: Select, at: float, record: Record
    ) -> Step | None:
        rule, seen_at = running.rule, at - turn.group.query_offset
        result = evaluate(rule.plan, select, seen_at)
        if isinstance(rule, RecordRule):
            self._record(turn, running, rule, result, seen_at, record)
            return None
        taken = step(rule, running.state, result, at, turn.context)
        self._check_owners(running, taken, steps)
        written = alert_series(taken.state.alerts.values())
        if written or running.written:
            record(*with_ends(written, running.written), seen_at)
            running.written = tuple(written)
        return taken

    def _record(
        self, turn: _Turn, running: _Running, rule: RecordRule, result: Result, at: float, record: Record
    ) -> None:
        written = recorded(rule, result, turn.group.labels, turn.group.limit)
        if written or running.written:
            record(*with_ends(written, running.written), at)
            running.written = tuple(written)

    def _check_owners(self, running: _Running, taken: Step, steps: _Steps) -> None:
        """Two rules may not own one alert: each would end what the other begins."""
        fresh = taken.state.alerts.keys() - running.state.alerts.keys()
        if not fresh:
            return
        held = [(other.rule, other.state.alerts) for other in self._running() if other is not running]
        held += [(other.rule, begun.state.alerts) for other, begun in steps]
        for rule, alerts in held:
            if not fresh.isdisjoint(alerts):
                raise RuleError(f"an alert with the same labels belongs to another rule named {rule.name!r}")

    def _with_evidence(self, turn: _Turn, changes: AlertChanges, select: Select, at: float) -> AlertChanges:
        rules = {rule.uid: rule for rule in turn.group.rules if isinstance(rule, AlertRule)}
        left, stop_at = self._charts, self._timer() + EVIDENCE_TIME
        events: list[AlertEvent] = []
        for told in changes.events:
            shown = told.kind in _SHOWN and left > 0 and self._timer() < stop_at
            left -= shown
            rule = rules[told.rule] if shown else None
            labels = source_labels(rule, told.labels, turn.group.labels) if rule else told.labels
            if told.kind is EventKind.RECOVERED:  # its own value is the last one that was true: no proof of anything
                events.append(replace(told, value=proof(rule, labels, select, at) if rule else math.nan))
            elif rule:
                events.append(replace(told, evidence=gather(rule, labels, select, at)))
            else:
                events.append(told)
        return replace(changes, events=tuple(events))

    def _end_orphans(self, at: float, commit: Commit, record: Record) -> None:
        if self._orphans:
            commit(_gone(self._orphans, at, self._names()), at)
            self._orphans = []
        if self._ended:
            record(*with_ends({}, self._ended), at)
            self._ended = ()

    def _tell_elsewhere(self, at: float, record: Record) -> None:
        """What fails at others, also of rules that are not here, and what fails no more.

        A rule that is gone fails no more: its ticket recovers by proof, not by silence.
        """
        told = {**dict.fromkeys(self._mended, 0.0), **{health(*name): 1.0 for name in self._elsewhere}}
        if told:
            record([*told], [*told.values()], at)
        self._mended = ()

    def _health(self, turn: _Turn) -> Written:
        """The group's own health as series, so that a default rule can open a ticket about a rule that is blind."""
        written: Written = {}
        for running in turn.rules:
            name = (turn.group.name, running.rule.name)
            labels = health(*name)
            fails = bool(running.error) or name in self._elsewhere
            written[labels] = max(written.get(labels, 0.0), float(fails))
        return written


def _gone(alerts: Sequence[Alert], at: float, names: frozenset[str]) -> AlertChanges:
    """The end of alerts whose rule is gone; one of the same name means that it was changed."""
    told = tuple(
        replace(event(EventKind.GONE, None, alert, at), reason=_reason(alert, names))
        for alert in alerts
        if alert.state is AlertState.FIRING
    )
    return AlertChanges(deletes=tuple(alert.key for alert in alerts), events=told)


def _reason(alert: Alert, names: frozenset[str]) -> str:
    return "rule changed" if alert.labels.get(ALERT_NAME) in names else "rule removed"


def _merged(changes: Iterable[AlertChanges]) -> AlertChanges:
    every = tuple(changes)
    return AlertChanges(
        tuple(alert for one in every for alert in one.upserts),
        tuple(key for one in every for key in one.deletes),
        tuple(told for one in every for told in one.events),
    )


def _keep(steps: _Steps, stored: Iterable[Alert]) -> None:
    """Takes the new states over, with the episodes the database counted."""
    episodes = {alert.key: alert.episode for alert in stored}
    for running, taken in steps:
        alerts = {
            key: replace(alert, episode=episodes[key]) if key in episodes else alert
            for key, alert in taken.state.alerts.items()
        }
        running.state = replace(taken.state, alerts=alerts)


def _fail(turn: _Turn, running: _Running, error: Exception) -> None:
    message = str(error) or type(error).__name__
    if running.error != message:  # told once, not once a second
        _log.warning(
            "A rule could not be judged; its alerts stay as they are.",
            extra={"action": "rule_failed", "group": turn.group.name, "rule": running.rule.name, "error": message},
        )
    running.error = message


def _rule_report(running: _Running) -> RuleReport:
    rule, alerts = running.rule, running.state.alerts.values()
    return RuleReport(
        name=rule.name,
        expression=rule.expression,
        kind="alert" if isinstance(rule, AlertRule) else "record",
        for_seconds=rule.for_seconds if isinstance(rule, AlertRule) else 0.0,
        health="unknown" if running.error is None else ("err" if running.error else "ok"),
        last_error=running.error or "",
        pending=sum(alert.state is AlertState.PENDING for alert in alerts),
        firing=sum(alert.state is AlertState.FIRING for alert in alerts),
        unknown=sum(alert.unknown_since is not None for alert in alerts),
        uid=rule.uid,
        keep_firing_for=rule.keep_firing_for if isinstance(rule, AlertRule) else 0.0,
        labels=rule.labels,
        annotations=rule.annotations if isinstance(rule, AlertRule) else {},
        line=rule.line,
    )
