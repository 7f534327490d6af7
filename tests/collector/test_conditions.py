"""Conditions that are only told on their host's page: rules labelled ticket="no"."""

from dataclasses import replace
from math import nan

import pytest
import sqlalchemy as sa

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, AlertState, EventKind
from collector.intake import Intake
from collector.labels import Labels, dedup_key
from collector.store import Store, alerts, enrollments, hosts, tables
from collector.store.hosts import HostEvent

LABELS = Labels.of(alertname="HostSwapping", instance="srv-1", company="acme", severity="info", ticket="no")
KEY = dedup_key("acme", "rules", LABELS)


def event(kind: EventKind, at: float, started: float = 100.0) -> AlertEvent:
    return AlertEvent(
        kind=kind,
        source="rules",
        key=KEY,
        labels=LABELS,
        annotations={"summary": "srv-1 swaps", "summary_pl": "srv-1 używa wymiany"},
        value=12.5,
        at=at,
        started_at=started,
        rule="uid",
        rule_name="HostSwapping",
    )


def tell(intake: Intake, told: AlertEvent) -> None:
    over = told.kind in {EventKind.RECOVERED, EventKind.GONE}
    alert = Alert(KEY, "uid", LABELS, AlertState.FIRING, told.started_at, told.at, 12.5)
    intake.alerts(AlertChanges(() if over else (alert,), (KEY,) if over else (), (told,)), told.at)


def timeline(store: Store) -> list[HostEvent]:
    with store.read() as conn:
        return list(reversed(hosts.host_events(conn, "h1")))


@pytest.fixture
def intake(store: Store) -> Intake:
    with store.write() as conn:
        enrollments.add_host(
            conn,
            host_id="h1",
            company="acme",
            site="office",
            class_="server",
            name="srv-1",
            at=1.0,
            enrollment_id="e1",
            key_hash="k1",
            serial="s1",
            certificate_pem="",
            not_after=9e9,
        )
    return Intake(store)


def tickets_made(store: Store) -> int:
    with store.read() as conn:
        return conn.scalar(sa.select(sa.func.count()).select_from(tables.ticket)) or 0


def test_its_beginning_and_its_end_are_on_the_hosts_page_and_no_ticket_is_made(store: Store, intake: Intake) -> None:
    tell(intake, event(EventKind.FIRED, 100.0))
    tell(intake, event(EventKind.RECOVERED, 160.0))
    detail = {
        "key": KEY,
        "episode": 1,
        "rule": "HostSwapping",
        "summary": "srv-1 swaps",
        "summary_pl": "srv-1 używa wymiany",
        "value": 12.5,
    }
    assert [(e.at, e.kind, e.detail) for e in timeline(store)] == [
        (100.0, "condition", detail),
        (160.0, "condition_over", {**detail, "reason": "recovered"}),
    ]
    assert tickets_made(store) == 0


def test_the_alert_itself_is_kept_with_its_episode(store: Store, intake: Intake) -> None:
    tell(intake, event(EventKind.FIRED, 100.0))
    with store.read() as conn:
        assert [(a.key, a.episode) for a in alerts.load_alerts(conn)] == [(KEY, 1)]


def test_what_is_told_twice_is_written_once(store: Store, intake: Intake) -> None:
    for at in (100.0, 101.0):
        tell(intake, event(EventKind.FIRED, at))
    for kind in (EventKind.RECOVERED, EventKind.RECOVERED, EventKind.GONE):
        tell(intake, event(kind, 160.0))
    assert [e.kind for e in timeline(store)] == ["condition", "condition_over"]


def test_the_next_episode_is_written_again(store: Store, intake: Intake) -> None:
    for started in (100.0, 200.0):
        tell(intake, event(EventKind.FIRED, started, started))
        tell(intake, event(EventKind.RECOVERED, started + 50, started))
    assert [(e.kind, e.detail["episode"]) for e in timeline(store)] == [
        ("condition", 1),
        ("condition_over", 1),
        ("condition", 2),
        ("condition_over", 2),
    ]


def test_other_words_and_missing_data_write_nothing(store: Store, intake: Intake) -> None:
    tell(intake, event(EventKind.FIRED, 100.0))
    for kind in (EventKind.CHANGED, EventKind.UNKNOWN, EventKind.KNOWN):
        tell(intake, event(kind, 130.0))
    assert len(timeline(store)) == 1


def test_a_host_we_do_not_know_has_no_page(store: Store) -> None:
    fired = replace(event(EventKind.FIRED, 100.0), value=nan)
    Intake(store).alerts(AlertChanges((), (), (fired,)), 100.0)
    assert tickets_made(store) == 0


def test_a_value_that_is_no_number_is_left_out(store: Store, intake: Intake) -> None:
    tell(intake, replace(event(EventKind.FIRED, 100.0), value=nan))
    assert [e.detail["value"] for e in timeline(store)] == [None]
