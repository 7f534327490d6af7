"""What is found out later about alerts that are held: their true start, and the hours their host slept. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from collector.alerts.alert import Alert, AlertState
from collector.rules.alerting import State


def backdated(
    state: State, alive: Mapping[str, Alert], ended: Mapping[str, float], at: float, *, begin: bool
) -> tuple[State, tuple[Alert, ...]]:
    """The state once the past up to `at` is known, and the alerts to write.

    `alive` were true at `at`, `ended` had been found false at some time. With `begin` those that are not held yet
    begin as pending: the live edge has not been seen, and will say whether they go on.
    """
    if not alive and state.alerts.keys().isdisjoint(ended):
        return state, ()
    alerts = dict(state.alerts)
    changed: list[Alert] = []
    for key, found in alive.items():
        held = alerts.get(key)
        after = _with_start(held, found, at) if held is not None else (_pending(found, at) if begin else None)
        if after is not None and after != held:
            alerts[key] = after
            changed.append(after)
    for key, false_at in ended.items():
        held = alerts.get(key)
        if key not in alive and held is not None and held.state is AlertState.PENDING and held.active_since < false_at:
            alerts[key] = replace(held, active_since=max(false_at, at))
            changed.append(alerts[key])
    seen = {key: max(at, state.considered_at.get(key, at)) for key in alive if key in alerts}
    return replace(state, alerts=alerts, considered_at={**state.considered_at, **seen}), tuple(changed)


def shifted(state: State, mine: Callable[[Alert], bool], seconds: float, at: float) -> tuple[State, tuple[Alert, ...]]:
    """`for` of pending alerts without the time their host slept; one without data already does not count that time."""
    changed = {
        key: replace(alert, active_since=min(at, alert.active_since + seconds))
        for key, alert in state.alerts.items()
        if alert.state is AlertState.PENDING and alert.unknown_since is None and mine(alert)
    }
    return (replace(state, alerts={**state.alerts, **changed}), tuple(changed.values())) if changed else (state, ())


def _with_start(held: Alert, found: Alert, at: float) -> Alert:
    if held.state is AlertState.PENDING:
        return replace(held, active_since=found.active_since, unknown_since=None, last_true=max(held.last_true, at))
    if held.fired_at is not None and held.fired_at >= at:  # it fired before its past was known
        return replace(held, active_since=min(held.active_since, found.active_since))
    return held


def _pending(found: Alert, at: float) -> Alert:
    pending = AlertState.PENDING
    return replace(found, state=pending, fired_at=None, keep_since=None, unknown_since=None, episode=0, last_true=at)
