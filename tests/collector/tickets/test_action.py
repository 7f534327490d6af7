from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.tickets.action import (
    Action,
    Assign,
    Comment,
    Move,
    SetPriority,
    SetQueue,
    Take,
    allowed,
    apply,
    apply_all,
)
from collector.tickets.entry import EntryKind
from collector.tickets.errors import Invalid, NotAllowed
from collector.tickets.priority import Level, Priority
from collector.tickets.ticket import TRANSITIONS, WAITING, Actor, Kind, Source, Status, Ticket

ANNA = Actor(1, "Anna")
PAWEL = Actor(2, "Paweł")
PROGRAM = Actor(None, "backup", "api")
TICKET = Ticket(
    id=1,
    number="CZ-2026-000001",
    company="acme",
    company_name="Acme",
    kind=Kind.INCIDENT_PERSON,
    source=Source.PHONE,
    title="No mail",
    created_at=100.0,
    updated_at=100.0,
)


def test_taking_starts_the_work_and_counts_as_reaction() -> None:
    change = apply(TICKET, Take(), ANNA, 200.0)
    after = change.after
    assert (after.status, after.assignee_id, after.assignee, after.first_reaction_at) == (
        Status.IN_PROGRESS,
        1,
        "Anna",
        200.0,
    )
    assert [e.kind for e in change.entries] == [EntryKind.TAKEN]


def test_taking_ones_own_ticket_again_changes_nothing() -> None:
    taken = apply(TICKET, Take(), ANNA, 200.0).after
    assert not apply(taken, Take(), ANNA, 300.0)


def test_a_ticket_can_be_taken_over_and_out_of_a_wait() -> None:
    waiting = replace(TICKET, status=Status.WAITING_PART, assignee_id=1, assignee="Anna", first_reaction_at=150.0)
    change = apply(waiting, Take(), PAWEL, 200.0)
    assert (change.after.assignee_id, change.after.status, change.after.first_reaction_at) == (
        2,
        Status.IN_PROGRESS,
        150.0,
    )
    assert change.entries[0].data == {"from": "Anna", "status": "waiting_part"}


@pytest.mark.parametrize(
    ("ticket", "action", "actor"),
    [
        (replace(TICKET, status=Status.CLOSED), Take(), ANNA),
        (replace(TICKET, status=Status.RESOLVED), Assign(2), ANNA),
        (replace(TICKET, status=Status.CLOSED), SetQueue("service desk"), ANNA),
        (TICKET, Take(), PROGRAM),
        (TICKET, Move(Status.IN_PROGRESS, "solved?"), ANNA),
        (replace(TICKET, status=Status.IN_PROGRESS), Move(Status.NEW), ANNA),
        (replace(TICKET, status=Status.CLOSED, resolved_at=0.0), Move(Status.IN_PROGRESS), ANNA),
        (replace(TICKET, status=Status.CLOSED, resolved_at=9e9), Move(Status.WAITING_PART), ANNA),
    ],
)
def test_what_the_state_does_not_allow_is_refused(ticket: Ticket, action: Action, actor: Actor) -> None:
    with pytest.raises(NotAllowed):
        apply(ticket, action, actor, 15 * 86_400.0)


def test_a_program_is_no_human_reaction() -> None:
    assert apply(TICKET, Comment("done", public=True), PROGRAM, 200.0).after.first_reaction_at is None
    assert apply(TICKET, Comment("looking"), ANNA, 200.0).after.first_reaction_at == 200.0


def test_resolving_keeps_the_words_and_closing_keeps_the_time_of_resolution() -> None:
    resolved = apply(TICKET, Move(Status.RESOLVED, " Password reset. "), ANNA, 200.0).after
    assert (resolved.resolved_at, resolved.closed_at, resolved.resolution) == (200.0, None, "Password reset.")
    closed = apply(resolved, Move(Status.CLOSED), ANNA, 300.0).after
    assert (closed.resolved_at, closed.closed_at, closed.resolution) == (200.0, 300.0, "Password reset.")
    assert not closed.open


def test_reopening_within_the_window_takes_the_end_back() -> None:
    closed = apply(TICKET, Move(Status.CLOSED), ANNA, 200.0).after
    change = apply(closed, Move(Status.IN_PROGRESS), PAWEL, 300.0)
    assert (change.after.status, change.after.closed_at, change.after.resolved_at) == (Status.IN_PROGRESS, None, None)
    assert [e.kind for e in change.entries] == [EntryKind.REOPENED]


def test_escalating_puts_it_into_another_queue_without_an_owner() -> None:
    taken = apply(TICKET, Take(), ANNA, 200.0).after
    change = apply(taken, SetQueue("service desk"), ANNA, 300.0)
    assert (change.after.queue, change.after.assignee_id) == ("service desk", None)
    assert change.entries[0].data == {"from": "helpdesk", "to": "service desk"}


def test_impact_and_urgency_make_the_priority() -> None:
    change = apply(TICKET, SetPriority(Level.HIGH, Level.HIGH), ANNA, 200.0)
    assert change.after.priority is Priority.P1
    assert not apply(change.after, SetPriority(Level.HIGH, Level.HIGH), ANNA, 300.0)


def test_assigning_and_putting_back() -> None:
    given_ = apply(TICKET, Assign(2, "Paweł"), ANNA, 200.0).after
    assert (given_.assignee_id, given_.assignee, given_.status) == (2, "Paweł", Status.NEW)
    assert apply(given_, Assign(None), ANNA, 300.0).after.assignee_id is None
    assert not apply(TICKET, Assign(None), ANNA, 300.0)


def test_several_actions_are_one_change_or_none() -> None:
    change = apply_all(TICKET, (Take(), Comment("on it", public=True), Move(Status.RESOLVED, "done")), ANNA, 200.0)
    assert [e.kind for e in change.entries] == [EntryKind.TAKEN, EntryKind.COMMENT, EntryKind.RESOLVED]
    assert (change.before, change.after.status) == (TICKET, Status.RESOLVED)
    with pytest.raises(NotAllowed):
        apply_all(TICKET, (Move(Status.CLOSED), Take()), ANNA, 200.0)


@pytest.mark.parametrize("words", ["", " \n", "\0", "x" * 20_001])
def test_an_empty_or_endless_comment_is_refused(words: str) -> None:
    with pytest.raises(Invalid):
        Comment(words)


@given(st.sampled_from(Status), st.sampled_from(Status))
def test_moves_follow_the_one_table(before: Status, after: Status) -> None:
    ended = before in {Status.RESOLVED, Status.CLOSED}
    ticket = replace(
        TICKET,
        status=before,
        resolved_at=150.0 if ended else None,
        closed_at=150.0 if before is Status.CLOSED else None,
    )
    if before is after:
        assert not apply(ticket, Move(after), ANNA, 200.0)
    elif after in TRANSITIONS[before] and after is not Status.NEW:
        moved = apply(ticket, Move(after), ANNA, 200.0).after
        assert moved.status is after
        assert (moved.closed_at is not None) == (after is Status.CLOSED)
        assert (moved.resolved_at is not None) == (after in {Status.RESOLVED, Status.CLOSED})
    else:
        with pytest.raises(NotAllowed):
            apply(ticket, Move(after), ANNA, 200.0)


def test_the_menu_offers_what_the_table_allows() -> None:
    assert set(allowed(TICKET)) == {Status.IN_PROGRESS, *WAITING, Status.RESOLVED, Status.CLOSED}
    assert allowed(replace(TICKET, status=Status.CLOSED)) == (Status.IN_PROGRESS,)
