from pathlib import Path

import pytest

from collector.tickets.diagram import page
from collector.tickets.errors import Invalid
from collector.tickets.priority import DEFAULT_MATRIX, Level, Priority, levels, matrix_from, matrix_plain, priority
from collector.tickets.text import clean, line
from collector.tickets.ticket import TRANSITIONS, WAITING, NewTicket, Status


def test_the_page_of_states_is_made_from_the_table(project_root: Path) -> None:
    assert (project_root / "docs/tickets.md").read_text(encoding="utf-8") == page()


def test_every_status_has_a_row_and_a_way_to_the_end() -> None:
    assert set(TRANSITIONS) == set(Status)
    for status in Status:
        reached = {status}
        while more := {after for s in reached for after in TRANSITIONS[s]} - reached:
            reached |= more
        assert Status.CLOSED in reached
        assert status not in TRANSITIONS[status]


def test_waiting_is_left_only_to_work_another_wait_or_the_end() -> None:
    for status in WAITING:
        assert TRANSITIONS[status] == (WAITING | {Status.IN_PROGRESS, Status.RESOLVED, Status.CLOSED}) - {status}


def test_the_matrix_is_monotonic_and_uses_all_priorities() -> None:
    for impact in Level:
        assert [priority(impact, u) for u in Level] == sorted(priority(impact, u) for u in Level)
        assert [priority(i, impact) for i in Level] == sorted(priority(i, impact) for i in Level)
    assert set(DEFAULT_MATRIX.values()) == set(Priority)


@pytest.mark.parametrize(
    ("labels", "annotations", "expected"),
    [
        ({}, {}, (Level.MEDIUM, Level.MEDIUM)),
        ({"severity": "critical"}, {}, (Level.MEDIUM, Level.HIGH)),
        ({"severity": "warning"}, {"impact": "high"}, (Level.HIGH, Level.MEDIUM)),
        ({"severity": "info", "urgency": "high"}, {}, (Level.MEDIUM, Level.HIGH)),
        ({"severity": "CRITICAL", "impact": "Low"}, {"impact": "high"}, (Level.LOW, Level.HIGH)),
        ({"severity": "page me", "impact": "!"}, {}, (Level.MEDIUM, Level.MEDIUM)),
    ],
)
def test_labels_say_impact_and_urgency(
    labels: dict[str, str], annotations: dict[str, str], expected: tuple[Level, Level]
) -> None:
    assert levels(labels, annotations) == expected


def test_a_stored_matrix_comes_back_and_its_gaps_keep_the_default() -> None:
    assert matrix_from(matrix_plain(DEFAULT_MATRIX)) == DEFAULT_MATRIX
    assert matrix_from({"low/low": "P1"})[(Level.LOW, Level.LOW)] is Priority.P1
    assert matrix_from({"low/low": "P1"})[(Level.HIGH, Level.HIGH)] is Priority.P1


@pytest.mark.parametrize("wrong", [{"low": "P1"}, {"low/low": "P9"}, {"big/low": "P1"}, {"low/low/low": "P1"}])
def test_a_wrong_matrix_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        matrix_from(wrong)


def test_text_loses_what_a_database_cannot_keep() -> None:
    assert clean("a\0b\x1b[31m\ud800\r\nc\rd\te") == "ab[31m?\nc\nd\te"
    assert clean("zażółć", 4) == "zaż…"
    assert line("  two\n words ") == "two words"


@pytest.mark.parametrize(
    "wrong",
    [
        {"company": "", "title": "x"},
        {"company": "a", "title": " \0 "},
        {"company": "a", "title": "x" * 201},
        {"company": "a", "title": "x", "description": "x" * 10_001},
        {"company": "a", "title": "x", "queue": ""},
    ],
)
def test_a_ticket_without_or_with_too_many_words_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        NewTicket(**wrong)  # type: ignore[arg-type]


def test_a_title_is_one_line() -> None:
    assert NewTicket("acme", " No\n mail ").title == "No mail"
