from dataclasses import replace
from math import nan

import pytest

from collector.alerts.alert import AlertEvent, EventKind, Evidence
from collector.labels import Labels
from collector.tickets.desk import (
    OUTAGE_RULES,
    CloseGone,
    Decision,
    MarkKnown,
    MarkUnknown,
    Nothing,
    Open,
    Place,
    Policy,
    Recover,
    Reopen,
    Update,
    decide,
    settle,
)
from collector.tickets.desk import Close as Settled
from collector.tickets.entry import Change, EntryKind
from collector.tickets.priority import Level, Priority
from collector.tickets.ticket import Kind, Source, Status, Ticket

LABELS = Labels.of(alertname="DiskFull", host="srv-1", instance="srv-1", company="acme", severity="warning")
CRITICAL = LABELS.with_({"severity": "critical"})
WORDS = {"summary": "Disk / is full", "summary_pl": "Dysk / pełny", "description": "93 %"}


def event(
    kind: EventKind, at: float = 1000.0, *, labels: Labels = LABELS, value: float = 93.4, **words: str
) -> AlertEvent:
    return AlertEvent(
        kind=kind,
        source="rules",
        key="k",
        labels=labels,
        annotations={**WORDS, **words},
        value=value,
        at=at,
        started_at=900.0,
        rule="uid",
        rule_name="DiskFull",
    )


TICKET = Ticket(
    id=1,
    number="CZ-2026-000001",
    company="acme",
    company_name="Acme",
    kind=Kind.INCIDENT_MONITORING,
    source=Source.MONITORING,
    title="Disk / is full",
    description="93 %",
    created_at=500.0,
    updated_at=500.0,
    dedup_key="k",
    episode=1,
    labels=LABELS,
    annotations=WORDS,
    value=93.4,
)
RESOLVED = replace(TICKET, status=Status.RESOLVED, resolved_at=900.0)
CLOSED = replace(TICKET, status=Status.CLOSED, resolved_at=900.0, closed_at=900.0)


def change(decision: Decision) -> Change:
    assert not isinstance(decision, (Open, Nothing))
    return decision.change


def kinds(decision: Decision) -> list[EntryKind]:
    return [entry.kind for entry in change(decision).entries]


def test_a_first_fault_opens_a_ticket_with_everything_it_said() -> None:
    fired = replace(event(EventKind.FIRED), evidence=Evidence("up == 0", None, ""))
    decision = decide(fired, None, None, episode=1, place=Place("acme", "id-1", "srv-1"))
    assert isinstance(decision, Open)
    new = decision.new
    assert (new.title, new.description, new.company, new.host_id, new.host) == (
        "Disk / is full",
        "93 %",
        "acme",
        "id-1",
        "srv-1",
    )
    assert (new.dedup_key, new.episode, new.rule, new.rule_name, new.value) == ("k", 1, "uid", "DiskFull", 93.4)
    assert (new.impact, new.urgency, new.kind) == (Level.MEDIUM, Level.MEDIUM, Kind.INCIDENT_MONITORING)
    assert new.evidence == {"expression": "up == 0", "threshold": None, "comparison": "", "series": "", "lines": []}
    assert decision.closes is None


def test_an_alert_without_words_still_gets_a_title() -> None:
    bare = replace(event(EventKind.FIRED), annotations={}, rule_name="", labels=Labels())
    decision = decide(bare, None, None, episode=1)
    assert isinstance(decision, Open)
    assert decision.new.title == "Alert without a name"


def test_hostile_words_are_cut_and_cleaned() -> None:
    fired = event(EventKind.FIRED, summary="\0A" * 500, description="\ud800" + "d" * 20_000, queue="q" * 500)
    decision = decide(fired, None, None, episode=1)
    assert isinstance(decision, Open)
    assert len(decision.new.title) == 200
    assert len(decision.new.description) == 10_000
    assert len(decision.new.queue) == 200
    assert "\0" not in decision.new.title


@pytest.mark.parametrize("rule", OUTAGE_RULES)
def test_the_number_of_an_outage_is_followed_on_the_timeline(rule: str) -> None:
    seven = replace(TICKET, rule_name=rule, value=7.0)
    grown = replace(event(EventKind.CHANGED, value=12.0, summary="hosts away: 12"), rule_name=rule)
    (entry,) = change(decide(grown, seven, None, episode=1)).entries
    assert (entry.kind, entry.data) == (EntryKind.HOSTS, {"from": 7.0, "to": 12.0})
    reworded = replace(event(EventKind.CHANGED, value=7.0, summary="other words"), rule_name=rule)
    assert kinds(decide(reworded, seven, None, episode=1)) == []


def test_the_same_episode_told_twice_changes_nothing() -> None:
    assert isinstance(decide(event(EventKind.FIRED), TICKET, None, episode=1), Nothing)


def test_an_episode_whose_ticket_a_person_closed_is_spent() -> None:
    assert isinstance(decide(event(EventKind.FIRED), None, CLOSED, episode=1), Nothing)
    assert isinstance(decide(event(EventKind.CHANGED, labels=CRITICAL), None, CLOSED, episode=1), Nothing)
    assert isinstance(decide(event(EventKind.FIRED), RESOLVED, None, episode=1), Nothing)
    assert isinstance(decide(event(EventKind.CHANGED, labels=CRITICAL), RESOLVED, None, episode=1), Nothing)
    assert isinstance(decide(event(EventKind.UNKNOWN), RESOLVED, None, episode=1), Nothing)


def test_firing_again_counts_and_clears_the_marks_of_an_open_ticket() -> None:
    marked = replace(TICKET, recovered_at=950.0, recovered_value=10.0, unknown_since=940.0)
    decision = decide(event(EventKind.FIRED), marked, None, episode=2)
    assert isinstance(decision, Update)
    after = decision.change.after
    assert (after.occurrences, after.episode, after.recovered_at, after.unknown_since) == (2, 2, None, None)
    assert after.recovered_value is None
    assert after.status is Status.NEW
    assert kinds(decision) == [EntryKind.FIRED_AGAIN]


@pytest.mark.parametrize("ended", [CLOSED, RESOLVED])
def test_firing_again_within_the_window_reopens_the_same_ticket(ended: Ticket) -> None:
    open_, last = (None, ended) if ended.closed_at else (ended, None)
    decision = decide(event(EventKind.FIRED, 900.0 + 86_400.0), open_, last, episode=2)
    assert isinstance(decision, Reopen)
    after = decision.change.after
    assert decision.change.before is ended
    assert (after.id, after.status, after.closed_at, after.resolved_at) == (1, Status.NEW, None, None)
    assert (after.occurrences, after.episode) == (2, 2)
    assert kinds(decision) == [EntryKind.REOPENED]


def test_firing_again_after_the_window_opens_a_new_ticket() -> None:
    decision = decide(event(EventKind.FIRED, 900.0 + 86_401.0), None, CLOSED, episode=2)
    assert isinstance(decision, Open)
    assert decision.closes is None


def test_a_resolved_ticket_past_the_window_is_closed_to_make_room() -> None:
    decision = decide(event(EventKind.FIRED, 900.0 + 86_401.0), RESOLVED, None, episode=2)
    assert isinstance(decision, Open)
    assert decision.closes is not None
    assert decision.closes.after.status is Status.CLOSED
    assert decision.closes.after.resolved_at == 900.0
    assert decision.closes.entries[0].data == {"reason": "superseded"}


def test_rising_severity_raises_the_ticket() -> None:
    decision = decide(event(EventKind.CHANGED, labels=CRITICAL), TICKET, None, episode=1)
    assert change(decision).after.priority is Priority.P2
    assert change(decision).after.urgency is Level.HIGH
    assert kinds(decision) == [EntryKind.CHANGED, EntryKind.PRIORITY]


def test_falling_severity_lowers_nothing() -> None:
    high = replace(TICKET, labels=CRITICAL, urgency=Level.HIGH, priority=Priority.P2)
    decision = decide(event(EventKind.CHANGED), high, None, episode=1)
    assert change(decision).after.priority is Priority.P2
    assert kinds(decision) == [EntryKind.CHANGED]


def test_a_priority_lowered_by_a_person_stays_until_the_rule_gets_more_severe() -> None:
    lowered = replace(TICKET, labels=CRITICAL, priority=Priority.P4, urgency=Level.LOW)
    again = decide(event(EventKind.FIRED, labels=CRITICAL), lowered, None, episode=2)
    assert change(again).after.priority is Priority.P4
    lowered = replace(TICKET, priority=Priority.P4, urgency=Level.LOW)
    again = decide(event(EventKind.FIRED, labels=CRITICAL), lowered, None, episode=2)
    assert change(again).after.priority is Priority.P2


def test_raising_can_be_switched_off() -> None:
    decision = decide(
        event(EventKind.CHANGED, labels=CRITICAL), TICKET, None, Policy(raise_on_severity=False), episode=1
    )
    assert change(decision).after.priority is Priority.P3


def test_new_words_reach_the_ticket_and_spare_its_timeline() -> None:
    decision = decide(event(EventKind.CHANGED, summary="Disk / is 94 % full"), TICKET, None, episode=1)
    assert change(decision).after.title == "Disk / is 94 % full"
    assert kinds(decision) == []
    assert isinstance(decide(event(EventKind.CHANGED), TICKET, None, episode=1), Nothing)


def test_recovery_marks_with_its_proof_and_moves_no_status() -> None:
    taken = replace(TICKET, status=Status.IN_PROGRESS, assignee_id=7, unknown_since=950.0)
    for ticket in (TICKET, taken):
        decision = decide(event(EventKind.RECOVERED, value=40.0), ticket, None, episode=1)
        assert isinstance(decision, Recover)
        after = decision.change.after
        assert (after.recovered_at, after.recovered_value, after.unknown_since) == (1000.0, 40.0, None)
        assert (after.status, after.value) == (ticket.status, 93.4)
    assert isinstance(decide(event(EventKind.RECOVERED), replace(TICKET, recovered_at=1.0), None, episode=1), Nothing)


def test_a_resolved_ticket_hears_the_proof_of_its_repair() -> None:
    decision = decide(event(EventKind.RECOVERED, value=nan), RESOLVED, None, episode=1)
    assert change(decision).after.recovered_at == 1000.0
    assert change(decision).after.status is Status.RESOLVED


def test_no_data_is_a_mark_and_data_takes_it_away() -> None:
    decision = decide(event(EventKind.UNKNOWN), TICKET, None, episode=1, unknown_since=970.0)
    assert isinstance(decision, MarkUnknown)
    marked = decision.change.after
    assert (marked.unknown_since, marked.status, marked.recovered_at) == (970.0, Status.NEW, None)
    assert isinstance(decide(event(EventKind.UNKNOWN), marked, None, episode=1), Nothing)
    known = decide(event(EventKind.KNOWN), marked, None, episode=1)
    assert isinstance(known, MarkKnown)
    assert known.change.after.unknown_since is None
    assert isinstance(decide(event(EventKind.KNOWN), TICKET, None, episode=1), Nothing)


def test_no_data_since_falls_back_to_the_event() -> None:
    assert change(decide(event(EventKind.UNKNOWN), TICKET, None, episode=1)).after.unknown_since == 1000.0


def test_what_is_gone_is_closed_as_gone() -> None:
    decision = decide(event(EventKind.GONE), TICKET, None, episode=1)
    assert isinstance(decision, CloseGone)
    assert (decision.change.after.status, decision.change.after.closed_at) == (Status.CLOSED, 1000.0)
    assert kinds(decision) == [EntryKind.GONE]
    assert isinstance(decide(event(EventKind.GONE), RESOLVED, None, episode=1), Nothing)


@pytest.mark.parametrize("kind", [k for k in EventKind if k is not EventKind.FIRED])
def test_without_a_ticket_only_firing_matters(kind: EventKind) -> None:
    assert isinstance(decide(event(kind), None, None, episode=1), Nothing)


RECOVERED = replace(TICKET, recovered_at=1000.0)


def test_a_recovered_ticket_nobody_touched_settles() -> None:
    decision = settle(RECOVERED, Policy(settle=300.0), 1300.0)
    assert isinstance(decision, Settled)
    assert (decision.change.after.status, decision.change.after.closed_at) == (Status.CLOSED, 1300.0)
    assert isinstance(settle(RECOVERED, Policy(settle=300.0), 1299.0), Nothing)


@pytest.mark.parametrize(
    "ticket",
    [
        TICKET,
        replace(RECOVERED, status=Status.IN_PROGRESS),
        replace(RECOVERED, assignee_id=7),
        replace(RECOVERED, first_reaction_at=1.0),
        replace(RECOVERED, status=Status.CLOSED, closed_at=1.0),
    ],
)
def test_a_ticket_a_person_touched_or_that_did_not_recover_never_settles(ticket: Ticket) -> None:
    assert isinstance(settle(ticket, Policy(), 1e9), Nothing)


def test_a_title_is_read_in_the_readers_language() -> None:
    assert (TICKET.title_for("pl"), TICKET.title_for("en")) == ("Dysk / pełny", "Disk / is full")
    assert TICKET.description_for("pl") == "93 %"
