from dataclasses import replace

import pytest

from collector.alerts.alert import Alert, AlertState
from collector.labels import Labels
from collector.rules.alerting import State
from collector.rules.amend import backdated, shifted

PENDING = Alert("k", "uid", Labels.of(alertname="High", instance="pc1"), AlertState.PENDING, 900.0, 990.0, 95.0)
FIRING = replace(PENDING, state=AlertState.FIRING, fired_at=950.0)
FOUND = replace(PENDING, state=AlertState.FIRING, active_since=500.0, fired_at=800.0)


def test_a_pending_alert_gets_its_true_start_and_counts_the_gap_as_seen() -> None:
    state = State({"k": replace(PENDING, unknown_since=910.0)})
    after, changed = backdated(state, {"k": FOUND}, {}, 1000.0, begin=False)
    assert changed == (replace(PENDING, active_since=500.0, last_true=1000.0),)
    assert (after.alerts["k"], after.considered_at["k"]) == (changed[0], 1000.0)


def test_what_is_not_held_begins_as_pending_only_before_the_live_edge() -> None:
    _, changed = backdated(State(), {"k": FOUND}, {}, 1000.0, begin=True)
    assert changed == (replace(FOUND, state=AlertState.PENDING, fired_at=None, last_true=1000.0),)
    assert backdated(State(), {"k": FOUND}, {}, 1000.0, begin=False)[1] == ()


@pytest.mark.parametrize(("fired_at", "start"), [(950.0, 900.0), (1001.0, 500.0)])
def test_a_firing_alert_gets_another_start_only_if_it_fired_before_its_past_was_known(
    fired_at: float, start: float
) -> None:
    held = replace(FIRING, fired_at=fired_at)
    after, _ = backdated(State({"k": held}), {"k": FOUND}, {}, 1000.0, begin=False)
    assert after.alerts["k"] == replace(held, active_since=start)


def test_what_was_false_within_the_gap_waits_from_its_end() -> None:
    _, changed = backdated(State({"k": PENDING}), {}, {"k": 940.0}, 1000.0, begin=False)
    assert changed == (replace(PENDING, active_since=1000.0),)


def test_what_began_after_it_was_false_stays() -> None:
    state = State({"k": PENDING})
    assert backdated(state, {}, {"k": 800.0}, 850.0, begin=False) == (
        replace(state, considered_at={}),
        (),
    )


def test_sleep_is_not_counted_by_for() -> None:
    _, changed = shifted(State({"k": PENDING}), lambda _: True, 60.0, 1000.0)
    assert changed == (replace(PENDING, active_since=960.0),)


@pytest.mark.parametrize("held", [FIRING, replace(PENDING, unknown_since=910.0)])
def test_sleep_moves_no_alert_that_fires_or_has_no_data(held: Alert) -> None:
    state = State({"k": held})
    assert shifted(state, lambda _: True, 60.0, 1000.0) == (state, ())


def test_sleep_of_one_host_moves_no_alert_of_another() -> None:
    state = State({"k": PENDING})
    assert shifted(state, lambda alert: alert.labels.get("instance") == "pc2", 60.0, 1000.0) == (state, ())
