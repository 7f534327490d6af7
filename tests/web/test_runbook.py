"""The procedures: found by name only, in the reader's language, text whatever is in them, first steps on the ticket."""

from pathlib import Path

import pytest
from flask import Flask

from collector.alerts.alert import EventKind
from collector.intake import Intake
from tests.web import seed
from tests.web.seed import Seeded
from tests.web.visitor import Clock, Visit
from web import runbook

pytestmark = pytest.mark.usefixtures("estate")

TEXT = """# A disk is full

`HostFilesystemFull`

## Look
- What grows: `du -xh /` and <b>not this</b>.
- A line
  that goes on, see [the other](../en/HostSilent.md).

  More about it.
  - an inner step
- Third [page](https://example.org/a?b=c&d).
- Fourth

## Do
1. Another list
"""


def test_the_title_and_the_first_steps_are_read(app: Flask) -> None:
    with app.test_request_context():
        book = runbook.read(TEXT, "HostFilesystemFull", "en")
    assert "HostFilesystemFull" not in book.body
    assert book.title == "A disk is full"
    assert [str(step) for step in book.steps] == [
        "What grows: <code>du -xh /</code> and &lt;b&gt;not this&lt;/b&gt;.",
        'A line\nthat goes on, see <a href="/runbooks/HostSilent">the other</a>.',
        'Third <a href="https://example.org/a?b=c&amp;d" rel="noopener noreferrer">page</a>.',
    ]
    assert "<h1" not in book.body
    assert "<h2>Do</h2>" in book.body


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "![x](https://evil.example/p.png)",
        "<img src=x onerror=alert(1)>",
        '[x](https://a.example/"onclick=alert(1))',
        "<javascript:alert(1)>",
        "[x]: vbscript:x\n\n[x]",
    ],
)
def test_nothing_in_a_procedure_is_markup_of_its_own(app: Flask, text: str) -> None:
    with app.test_request_context():
        body = str(runbook.read(f"{text}\n\n- {text}\n", "X", "en").body).lower()
    for forbidden in ("<script", "<img", 'href="javascript', 'href="vbscript', '"onclick'):
        assert forbidden not in body


def test_a_procedure_without_title_or_list_has_its_name(app: Flask) -> None:
    with app.test_request_context():
        book = runbook.read("Just words.", "Odd", "pl")
    assert (book.title, book.steps, str(book.body)) == ("Odd", (), "<p>Just words.</p>\n")


@pytest.mark.parametrize("language", ["en", "pl"])
def test_every_procedure_is_shown_in_the_reader_s_language(browser: Visit, language: str) -> None:
    anna = browser("anna")
    for name in runbook.names(language):
        got = anna.get(f"/runbooks/{name}", Accept_Language=language)
        assert (name, got.status_code) == (name, 200)
        assert f'<article class="card text" lang="{language}">' in got.text
        assert f'href="/runbooks/{name}"' in anna.get("/runbooks", Accept_Language=language).text


def test_a_procedure_without_a_translation_is_shown_as_it_is(
    browser: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "Only.md").write_text("# Only here\n")
    monkeypatch.setattr(runbook, "folder", lambda: tmp_path)
    page = browser("anna").get("/runbooks/Only", Accept_Language="pl").text
    assert '<h1 lang="en">Only here</h1>' in page


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "%2e%2e%2fREADME",
        "..%2fen%2fHostSilent",
        "HostSilent.md",
        "en/HostSilent",
        "hostsilent",
        "%00",
        "a" * 9000,
    ],
)
def test_only_names_in_the_list_are_found(browser: Visit, name: str) -> None:
    assert browser("anna").get(f"/runbooks/{name}").status_code in {301, 302, 308, 404}
    assert runbook.find(name, "en") is None


@pytest.mark.parametrize("language", ["en", "pl"])
def test_the_ticket_has_the_first_steps_and_the_way_to_the_rest(browser: Visit, language: str) -> None:
    page = browser("anna").get("/tickets/CZ-2026-000010", Accept_Language=language).text
    card = page.split('class="s steps"')[1].split("</section>")[0]
    assert card.startswith(f' lang="{language}">')
    assert 1 <= card.count("<li>") <= 3
    assert 'href="/runbooks/HostFilesystemFull"' in card


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("runbooks/en/HostSilent", '<a href="/runbooks/HostSilent">'),
        ("/runbooks/pl/HostSilent.md", '<a href="/runbooks/HostSilent">'),
        ("https://wiki.example/x?a=1&b=2", '<a href="https://wiki.example/x?a=1&amp;b=2" rel="noopener noreferrer">'),
        ("runbooks/en/NoSuchPage", ""),
        ("javascript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("//evil.example/x", ""),
        ("ftp://example.org/x", ""),
        ("", ""),
    ],
)
def test_a_runbook_url_is_ours_or_the_web_s_or_nothing(
    browser: Visit, estate: Seeded, intake: Intake, clock: Clock, address: str, link: str
) -> None:
    event = seed.alert(EventKind.FIRED, "Other", estate.hosts["srv-db-02"], ("x", "x"), "info", clock.at)
    event.annotations["runbook_url"] = address  # type: ignore[index]  # a dict there
    seed.fire(intake, event)
    page = browser("anna").get("/tickets/CZ-2026-000011").text
    assert ("<h2>Procedure</h2>" in page) == bool(link)
    assert link in page


def test_the_folder_is_the_packed_one_where_there_is_one() -> None:
    assert runbook.folder().parts[-2:] == ("docs", "runbooks")
