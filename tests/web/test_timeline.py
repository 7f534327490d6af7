"""A ticket's timeline in words: why a ticket ended that nobody finished."""

import pytest
from flask import Flask

from collector.tickets.entry import EntryKind, TicketEvent
from web import timeline


@pytest.mark.parametrize(
    ("reason", "english", "polish"),
    [
        ("rule changed", "closed: the rule was changed", "zamknięte: reguła została zmieniona"),
        ("rule removed", "closed: the rule was removed", "zamknięte: reguła została usunięta"),
        (
            None,
            "closed: what the rule watched is not reported any more",
            "zamknięte: nikt już nie zgłasza tego, co śledziła reguła",
        ),
        (
            "<b>of a newer version</b>",
            "closed: what the rule watched is not reported any more",
            "zamknięte: nikt już nie zgłasza tego, co śledziła reguła",
        ),
    ],
)
def test_an_end_by_the_rules_says_why(app: Flask, reason: str | None, english: str, polish: str) -> None:
    data = {} if reason is None else {"reason": reason}
    event = TicketEvent(1, 1, 1_800_000_000.0, EntryKind.GONE, "", None, "rules", None, True, "", data)
    for language, sentence in (("en", english), ("pl", polish)):
        with app.test_request_context("/login", headers={"Accept-Language": language}):
            (line,) = timeline.lines([event])
            assert line.sentence == sentence


@pytest.mark.parametrize(
    ("before", "now", "english", "polish"),
    [
        (7.0, 12.0, "12 computers are away now, before 7", "nie zgłasza się teraz 12 komputerów, wcześniej 7"),
        (12.0, 3.0, "3 computers are away now, before 12", "nie zgłaszają się teraz 3 komputery, wcześniej 12"),
        (3.0, 1.0, "1 computer is away now, before 3", "nie zgłasza się teraz 1 komputer, wcześniej 3"),
        (None, 22.0, "22 computers are away now", "nie zgłaszają się teraz 22 komputery"),
    ],
)
def test_an_outage_says_how_many_are_away(
    app: Flask, before: float | None, now: float, english: str, polish: str
) -> None:
    data = {"from": before, "to": now}
    event = TicketEvent(1, 1, 1_800_000_000.0, EntryKind.HOSTS, "", None, "rules", None, False, "", data)
    for language, sentence in (("en", english), ("pl", polish)):
        with app.test_request_context("/login", headers={"Accept-Language": language}):
            (line,) = timeline.lines([event])
            assert line.sentence == sentence
