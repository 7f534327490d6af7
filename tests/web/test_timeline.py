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
