"""One alert rule, one evaluation: old state and result in, new state and its durable changes out. Pure.

Recovery needs proof: only a label set that was considered and did not match recovers. Rows are written on
transitions only; values and annotations are fresh in memory alone, so a steady alert writes nothing.
"""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, AlertState, EventKind
from collector.labels import NAME, Labels
from collector.promql import Result
from collector.replacing import replacing
from collector.rules.errors import RuleError
from collector.rules.model import AlertRule
from collector.rules.template import expand

SOURCE = "rules"
ALERT_NAME = "alertname"
MOST_ALERTS = 1000  # of one rule
_TOLD = ("severity", "impact", "urgency")  # annotations whose change a ticket must hear

replace = replacing(Alert)


@dataclass(frozen=True, slots=True)
class Context:
    """What an evaluation needs besides the rule. Seconds throughout."""

    key_of: Callable[[Labels], str]
    started_at: float
    host_online: Callable[[Labels], bool] = lambda _labels: True
    owns: Callable[[Labels], bool] = lambda _labels: True  # False: another collector's affair
    group_labels: Mapping[str, str] = field(default_factory=dict)
    unknown_after: float = 90.0
    gone_after: float = 3600.0
    limit: int = 0  # of the group; 0: MOST_ALERTS alone
    needs_proof: bool = True  # False: what does not match has recovered, as Prometheus has it


@dataclass(frozen=True, slots=True)
class State:
    """What is held of one rule between evaluations. Only `alerts` is durable, the rest is rebuilt after a restart."""

    alerts: Mapping[str, Alert] = field(default_factory=dict)  # key -> alert, fresh values
    considered_at: Mapping[str, float] = field(default_factory=dict)  # key -> last evaluation with data
    missing_since: Mapping[str, float] = field(default_factory=dict)  # key -> no data though its host is online
    rule: AlertRule | None = None  # whose templates the annotations come from
    named: Mapping[Labels, tuple[Labels, str]] = field(default_factory=dict)  # of what matched: its name and key


@dataclass(frozen=True, slots=True)
class Step:
    """One evaluation's outcome: what to commit, and the state to hold once that is done."""

    changes: AlertChanges
    state: State


@dataclass(frozen=True, slots=True)
class _Match:
    """One element of the result vector, named as an alert."""

    source: Labels
    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class _Next:
    """One alert's fate; `alert` None: deleted."""

    alert: Alert | None
    kind: EventKind | None = None
    write: bool = False


def restore(alerts: Iterable[Alert]) -> State:
    """State of a rule from its stored alerts."""
    return State({alert.key: alert for alert in alerts})


def step(rule: AlertRule, state: State, result: Result, at: float, context: Context) -> Step:
    """Advances every alert of `rule` by one evaluation at `at`.

    Raises RuleError, with nothing changed, for too many alerts or two alerts with one label set.
    """
    matches, unclear, named = _matches(rule, state, result, context)
    matches = {key: m for key, m in matches.items() if key in state.alerts or context.owns(m.labels)}
    considered = _Considered(rule, result, context)
    alerts: dict[str, Alert] = {}
    considered_at: dict[str, float] = {}
    missing_since: dict[str, float] = {}
    upserts: list[Alert] = []
    deletes: list[str] = []
    events: list[AlertEvent] = []
    for key in (*state.alerts, *(key for key in matches if key not in state.alerts)):
        old, match = state.alerts.get(key), matches.get(key)
        known = match is not None or (key not in unclear and considered(old))
        if known:
            considered_at[key] = at
        elif old is not None:
            _carry(considered_at, missing_since, state, old, at, context)
        fate = _fate(rule, state, old, match, known, at, context, missing_since.get(key))
        if fate.alert is not None:
            alerts[key] = fate.alert
            upserts += [fate.alert] if fate.write else []
        else:
            deletes.append(key)
        subject = fate.alert or old
        if fate.kind is not None and subject is not None:
            events.append(event(fate.kind, rule, subject, at))
    kept = State(alerts, _only(considered_at, alerts), _only(missing_since, alerts), rule, named)
    return Step(AlertChanges(tuple(upserts), tuple(deletes), tuple(events)), kept)


def event(kind: EventKind, rule: AlertRule | None, alert: Alert, at: float) -> AlertEvent:
    """What tickets hear of an alert; `rule` None when the rule is no longer there."""
    return AlertEvent(
        kind=kind,
        source=SOURCE,
        key=alert.key,
        labels=alert.labels,
        annotations=alert.annotations,
        value=alert.value,
        at=at,
        started_at=alert.active_since,
        rule=alert.rule,
        rule_name=rule.name if rule else alert.labels.get(ALERT_NAME),
        expression=rule.expression if rule else "",
        for_seconds=rule.for_seconds if rule else 0.0,
    )


def source_labels(rule: AlertRule, labels: Labels, group_labels: Mapping[str, str]) -> Labels:
    """An alert's labels without what the rule put on them: those of the series behind it."""
    return labels.without(*_added(rule, group_labels))


def _added(rule: AlertRule, group_labels: Mapping[str, str]) -> tuple[str, ...]:
    return (ALERT_NAME, *group_labels, *rule.labels)


def _matches(
    rule: AlertRule, state: State, result: Result, context: Context
) -> tuple[dict[str, _Match], set[str], dict[Labels, tuple[Labels, str]]]:
    """Matching elements by key, the keys whose value is NaN and so says nothing, and what to remember of names."""
    steady = not any("{{" in text for text in (*context.group_labels.values(), *rule.labels.values()))
    before = state.named if steady and state.rule is rule else {}
    named: dict[Labels, tuple[Labels, str]] = {}
    vector = result.vector
    most = min(context.limit or MOST_ALERTS, MOST_ALERTS)
    if len(vector.labels) > most:
        raise RuleError(f"{len(vector.labels)} alerts, more than the limit of {most}")
    matches: dict[str, _Match] = {}
    unclear: set[str] = set()
    seen: dict[str, Labels] = {}
    for source, number in zip(vector.labels, vector.values, strict=True):
        value = float(number)
        labels, key = named[source] = before.get(source) or _name(rule, source, value, context)
        if seen.setdefault(key, labels) != labels:
            continue  # the same problem under what its host was called until now
        if key in matches or key in unclear:
            raise RuleError(f"two results with the same labels {labels}")
        if math.isnan(value):
            unclear.add(key)
        else:
            matches[key] = _Match(source, labels, value)
    return matches, unclear, named


def _name(rule: AlertRule, source: Labels, value: float, context: Context) -> tuple[Labels, str]:
    own = {name: expand(text, source, value) for name, text in {**context.group_labels, **rule.labels}.items()}
    labels = source.without(NAME).with_({**own, ALERT_NAME: rule.name})
    return labels, context.key_of(labels)


@dataclass(slots=True)
class _Considered:
    """Whether an alert's series had data, also when a rule label hides a label of the series."""

    rule: AlertRule
    result: Result
    context: Context
    hidden: frozenset[Labels] | None = None

    def __call__(self, alert: Alert | None) -> bool:
        if alert is None or not self.context.needs_proof:
            return alert is not None
        source = source_labels(self.rule, alert.labels, self.context.group_labels)
        return self.result.considered(source) or source in self._hidden()

    def _hidden(self) -> frozenset[Labels]:
        if self.hidden is None:
            added = _added(self.rule, self.context.group_labels)
            self.hidden = frozenset(self._shortened(added))
        return self.hidden

    def _shortened(self, added: tuple[str, ...]) -> Iterable[Labels]:
        if any(name in self.result.vector.frame.names for name in added):
            return (labels.without(*added, NAME) for labels in self.result.considered_labels())
        return ()


def _carry(
    considered_at: dict[str, float],
    missing_since: dict[str, float],
    state: State,
    old: Alert,
    at: float,
    context: Context,
) -> None:
    """Keeps the two clocks of an alert without data."""
    key = old.key
    considered_at[key] = state.considered_at.get(key, -math.inf)
    if context.host_online(old.labels):
        missing_since[key] = state.missing_since.get(key, at)


def _fate(
    rule: AlertRule,
    state: State,
    old: Alert | None,
    match: _Match | None,
    known: bool,
    at: float,
    context: Context,
    missing_since: float | None,
) -> _Next:
    if match is not None:
        return _true(rule, _refreshed(rule, state, old, match, at, context), old, at)
    if old is None:
        raise RuleError("an alert without match or past")
    if known:
        return _false(rule, old, at)
    return _silent(old, state.considered_at.get(old.key, -math.inf), at, context, missing_since)


def _refreshed(rule: AlertRule, state: State, old: Alert | None, match: _Match, at: float, context: Context) -> Alert:
    value = max(-sys.float_info.max, min(sys.float_info.max, match.value))
    if old is not None and state.rule is rule and value == old.value and match.labels == old.labels:
        return replace(old, last_true=at)
    annotations = {name: expand(text, match.source, match.value) for name, text in rule.annotations.items()}
    if old is not None:
        return replace(old, labels=match.labels, last_true=at, value=value, annotations=annotations)
    return Alert(
        key=context.key_of(match.labels),
        rule=rule.uid,
        labels=match.labels,
        state=AlertState.PENDING,
        active_since=at,
        last_true=at,
        value=value,
        annotations=annotations,
    )


def _true(rule: AlertRule, alert: Alert, old: Alert | None, at: float) -> _Next:
    if alert.state is AlertState.FIRING and old is not None:
        return _still(alert, old)
    if alert.unknown_since is not None:  # the gap was neither true nor false: `for` does not count it
        alert = replace(alert, active_since=alert.active_since + at - alert.unknown_since, unknown_since=None)
    if at - alert.active_since >= rule.for_seconds:
        return _Next(replace(alert, state=AlertState.FIRING, fired_at=at), EventKind.FIRED, write=True)
    return _Next(alert, write=old is None or old.unknown_since is not None or alert.labels != old.labels)


def _still(alert: Alert, old: Alert) -> _Next:
    told = any(alert.annotations.get(name) != old.annotations.get(name) for name in _TOLD)
    back = old.unknown_since is not None
    kind = EventKind.KNOWN if back else (EventKind.CHANGED if told else None)
    if (alert.keep_since, alert.unknown_since) != (None, None):
        alert = replace(alert, keep_since=None, unknown_since=None)
    changed = told or alert.labels != old.labels
    return _Next(alert, kind, write=back or changed or old.keep_since is not None)


def _false(rule: AlertRule, old: Alert, at: float) -> _Next:
    if old.state is AlertState.PENDING:
        return _Next(None)
    keep_since = at if old.keep_since is None else old.keep_since
    if at - keep_since >= rule.keep_firing_for:
        return _Next(None, EventKind.RECOVERED)
    back = old.unknown_since is not None
    kind = EventKind.KNOWN if back else None
    return _Next(replace(old, keep_since=keep_since, unknown_since=None), kind, write=back or old.keep_since is None)


def _silent(old: Alert, considered_at: float, at: float, context: Context, missing_since: float | None) -> _Next:
    firing = old.state is AlertState.FIRING
    if old.unknown_since is None:
        if at - max(considered_at, context.started_at) <= context.unknown_after:
            return _Next(old)
        last = max(considered_at, old.last_true, old.keep_since or -math.inf)
        return _Next(replace(old, unknown_since=last), EventKind.UNKNOWN if firing else None, write=True)
    if missing_since is not None and at - missing_since > context.gone_after:
        return _Next(None, EventKind.GONE if firing else None)
    return _Next(old)


def _only(times: Mapping[str, float], alerts: Mapping[str, Alert]) -> dict[str, float]:
    return {key: time for key, time in times.items() if key in alerts}
