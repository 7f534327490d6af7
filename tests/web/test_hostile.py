"""What comes from agents, alerts and forms is hostile forever: it is shown as text, everywhere, in both languages."""

from html.parser import HTMLParser

import pytest

from collector.alerts.alert import EventKind
from collector.intake import Intake
from collector.store import Store, host_edits, hosts
from collector.store.host_edits import HostEdit
from collector.tickets.action import Action, Comment, Move, SetQueue
from collector.tickets.ticket import Actor, Kind, NewTicket, Source, Status
from tests.web import seed
from tests.web.seed import Seeded
from tests.web.visitor import Clock, Visit

pytestmark = pytest.mark.usefixtures("estate")

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}",
    "%(num)s %s %(evil)s",
    "\u202etxt.exe\u2066",
    "<a href='javascript:alert(1)'>x</a>",
    "&lt;script&gt;",
    "\u0000\u0007\ud800bell",
    "a" * 200,
    '" autofocus onfocus=alert(1) x="',
    "<!-- -->]]><![CDATA[",
)
KNOWN = {"script", "img", "svg", "a", "iframe", "style", "object", "embed"}


class Live(HTMLParser):
    """Counts what is markup rather than text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if any(name.startswith("on") for name in names):
            self.found.append(f"{tag} with a handler")
        if tag == "img" or (tag == "script" and not (names.get("src") or "").startswith("/static/")):
            self.found.append(tag)
        if any((names.get(n) or "").strip().lower().startswith("javascript:") for n in ("href", "src", "action")):
            self.found.append(f"{tag} javascript:")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_words_are_only_words(
    browser: Visit,
    estate: Seeded,
    store: Store,
    intake: Intake,
    clock: Clock,
    payload: str,
) -> None:
    at = clock.at
    anna = Actor(estate.anna.id, payload or "x")
    host = estate.hosts["srv-db-02"]
    title = payload if payload.strip("\u0000\u0007\ud800 ") else "x"
    new = NewTicket("alfa", title, Kind.REQUEST, Source.PHONE, payload, requester=payload)
    made = intake.open_by_person(new, anna, at)
    said: list[Action] = [
        Comment(payload, public=True),
        Comment(payload, public=False),
        SetQueue(payload),
        Move(Status.RESOLVED, payload),
    ]
    intake.act(made.number, said, anna, at)
    rule = payload.encode("utf-8", "replace").decode()  # no wire carries half a character
    event = seed.alert(EventKind.FIRED, rule, host, (payload, payload), "critical", at)
    seed.fire(intake, event)
    with store.write() as conn:
        facts = dict.fromkeys(("os", "os_version", "kernel", "cpu_model", "architecture"), payload)
        gen = hosts.open_session(
            conn, host.id, at=at, facts={**facts, "addresses": [payload]}, version=payload, fingerprint=""
        )
        hosts.set_presence(conn, host.id, gen, payload, payload, at, None)
        hosts.add_host_event(conn, host.id, at, payload, {"presence": payload, "reason": payload})
        host_edits.add_note(conn, host.id, payload, Actor(None, payload), at)
        host_edits.edit_host(conn, host, HostEdit(site=payload[:90]), Actor(None, payload), at)
    here = browser("anna")
    form = {"title": rule, "requester": rule, "description": rule, "host": rule, "company": rule}
    choices = {"source": "phone", "kind": "request", "impact": "1", "urgency": "1"}
    pages = [
        here.get(path, Accept_Language=language)
        for language in ("en", "pl")
        for path in (
            "/queue",
            "/queue/closed",
            "/queue/all/rows",
            "/tickets/11",
            "/tickets/12",
            "/hosts",
            f"/hosts/{host.id}",
        )
    ]
    pages += [
        here.client.get("/queue", query_string={"q": rule}),
        here.client.get("/hosts", query_string={"text": rule}),
    ]
    pages += [here.client.get(f"/tickets/CZ-2026-{n:06d}") for n in (11, 12)]
    pages += [
        here.send("/tickets/new", {**form, **choices}),
        browser().send("/login", {"login": rule, "password": "x"}, page="/login"),
    ]
    pages += [here.send("/tickets/12/finish", {"version": "0", "status": "closed", "resolution": rule, "evil": rule})]
    for page in pages:
        assert page.status_code in {200, 302, 303, 400, 403, 404, 409, 422}
        seen = Live()
        seen.feed(page.text)
        assert (page.request.path, seen.found) == (page.request.path, [])


def test_text_that_turns_the_writing_round_is_isolated(
    browser: Visit, estate: Seeded, intake: Intake, clock: Clock
) -> None:
    turned = "\u202egpj.exe"
    who = Actor(estate.anna.id, "Anna")
    intake.open_by_person(NewTicket("alfa", turned, Kind.REQUEST, Source.PHONE), who, clock.at)
    assert f"<bdi>{turned}</bdi></a>" in browser("anna").get("/queue").text
