"""The pages in a real Chromium over a real server: live, by keyboard, without JavaScript, and for everybody's eyes."""

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from werkzeug.serving import make_server

from collector.alerts.alert import EventKind
from collector.intake import Intake
from collector.store import Store, hosts, tickets
from collector.tickets.action import Take
from collector.tickets.ticket import Actor, Kind, NewTicket, Source, Status
from tests.web import engine, seed
from tests.web.screenshot import ARGUMENTS
from tests.web.seed import Seeded
from tests.web.visitor import Clock

if TYPE_CHECKING:
    Visiting = Callable[..., "Page"]
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = [pytest.mark.server("chromium"), pytest.mark.usefixtures("estate")]

PAGES = (
    "/queue",
    "/queue/closed",
    "/queue?q=prio:9",
    "/tickets/CZ-2026-000010",
    "/tickets/new",
    "/rules",
    "/rules/HostLoadHigh",
    "/explore?q=node_load1",
    "/explore?q=node_load1%20%3E%20%3E%205",
    "/backtest",
    "/runbooks",
    "/runbooks/HostFilesystemFull",
    "/hosts",
    "/hosts/id-srv-db-02",
    "/help/keys",
)
RULES = "groups: [{name: g, rules: [{alert: Load, expr: node_load1 > 5}]}]"
WORDS = {
    "en-GB": ("1 new ticket — show", "Printer on fire", "internal note", "closed"),
    "pl-PL": ("1 nowe zgłoszenie — pokaż", "Printer on fire", "notatka wewnętrzna", "zamknięte"),
}


@pytest.fixture(scope="module")  # its event loop lives in this thread: it must be gone when others run theirs
def chromium() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - heavy, and only where it runs

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def site(make_app: Callable[..., Flask], engine_target: str, store: Store) -> Iterator[str]:
    """The application on a free loopback port, with an engine behind it."""
    engine.alarm(store)
    server = make_server("127.0.0.1", 0, make_app(live=engine_target), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def visit(chromium: "Browser", site: str) -> Iterator["Visiting"]:
    """Opens a page in a new browser profile; every error in its console fails the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def opened(path: str, **options: object) -> "Page":
        context = chromium.new_context(base_url=site, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(12_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if "Content Security" in said.text else None)
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def login(page: "Page", password: str, name: str = "anna") -> None:
    page.locator("#login:focus").wait_for()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/queue*")


@pytest.mark.parametrize("locale", ["en-GB", "pl-PL"])
def test_by_keyboard_a_ticket_arrives_is_taken_commented_and_closed(
    visit: "Visiting", estate: Seeded, intake: Intake, store: Store, clock: Clock, locale: str
) -> None:
    bar, title, note, closed = WORDS[locale]
    page = visit("/login", locale=locale)
    login(page, seed.PASSWORD)
    page.evaluate("window.sameDocument = true")
    first = page.locator("#queue tbody tr").first.inner_text()
    place = page.locator("#queue tbody tr").first.bounding_box()
    jan = Actor(estate.jan.id, "Jan Nowak")
    high = NewTicket("alfa", title, Kind.INCIDENT_PERSON, Source.PHONE)
    intake.open_by_person(high, jan, clock.at)
    more = page.get_by_role("link", name=bar)
    more.wait_for()
    assert page.locator("#queue tbody tr").first.inner_text() == first
    assert page.locator("#queue tbody tr").first.bounding_box() == place  # nothing moved under the pointer
    page.keyboard.press("u")
    row = page.locator("#queue tbody tr", has_text=title)
    row.wait_for()
    assert page.evaluate("window.sameDocument") is True  # and nothing was reloaded
    page.keyboard.press("Enter")
    page.wait_for_url("**/tickets/CZ-2026-000011")
    page.keyboard.press("m")
    page.locator(".rail", has_text="Anna Kowal").wait_for()
    page.keyboard.press("i")
    page.keyboard.type("ask the fire brigade? m e j")
    page.keyboard.press("Control+Enter")
    page.locator(".say.note", has_text=note).wait_for()
    page.keyboard.press("e")
    page.keyboard.type("extinguished")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator(".head .pill", has_text=closed).wait_for()
    with store.read() as conn:
        done = tickets.find(conn, "11", None)
    assert done is not None
    assert (done.status, done.resolution, done.assignee) == (Status.CLOSED, "extinguished", "Anna Kowal")


def test_a_row_changes_in_place(visit: "Visiting", estate: Seeded, intake: Intake, clock: Clock) -> None:
    page = visit("/login", locale="en-GB")
    login(page, seed.PASSWORD)
    page.keyboard.press("j")
    page.keyboard.press("j")
    before = page.locator("#queue tbody tr").evaluate_all("rows => rows.map(row => row.id)")
    jan = Actor(estate.jan.id, "Jan Nowak")
    intake.act("6", [Take()], jan, clock.at)
    page.locator("#t6 .pill", has_text="in progress").wait_for()
    assert page.locator("#queue tbody tr").evaluate_all("rows => rows.map(row => row.id)") == before
    assert page.locator("#queue tbody tr[aria-current=true]").get_attribute("id") == before[1]
    assert page.evaluate("document.activeElement.closest('tr').id") == before[1]


def test_a_ticket_s_page_says_that_it_changed(visit: "Visiting", estate: Seeded, intake: Intake, clock: Clock) -> None:
    page = visit("/login", locale="pl-PL")
    login(page, seed.PASSWORD)
    page.goto("/tickets/CZ-2026-000010")
    host = estate.hosts["srv-db-02"]
    title = ("back", "z powrotem")
    event = seed.alert(
        EventKind.RECOVERED, "HostDiskFull", host, title, "critical", clock.at, started_at=clock.at - 400
    )
    seed.fire(intake, event)
    page.get_by_text("Zgłoszenie się zmieniło — pokaż").wait_for()
    page.keyboard.press("u")
    page.locator(".time .good", has_text="naprawiło się").wait_for()


def test_keys_are_quiet_while_one_types_and_when_switched_off(visit: "Visiting") -> None:
    page = visit("/login", locale="en-GB")
    login(page, seed.PASSWORD)
    page.keyboard.press("/")
    page.keyboard.type("gqj?")
    assert page.locator("#search").input_value() == "gqj?"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("h")
    page.wait_for_url("**/hosts")
    page.locator("summary.person").click()
    page.locator("button[name=keys][value=off]").click()
    page.wait_for_load_state()
    page.keyboard.press("?")
    page.keyboard.press("c")
    assert not page.locator("#keys").is_visible()
    assert page.url.endswith("/hosts")


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-GB", "pl-PL"])
def test_axe_finds_nothing(visit: "Visiting", width: int, scheme: str, locale: str) -> None:
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # noqa: PLC0415 - only here, untyped

    axe = Axe()
    page = visit(
        "/login", locale=locale, color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True
    )
    found = {"/login": axe.run(page).response["violations"]}
    login(page, seed.PASSWORD, "admin")  # who sees every form
    for path in PAGES:
        page.goto(path)
        if path.startswith("/tickets/CZ"):
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = !d.closest('.acts'))")
        found[path] = axe.run(page).response["violations"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto("/backtest")
    page.locator("#rules").fill(RULES)
    page.locator("main button").click()
    page.locator("#result").wait_for()
    found["the result"] = axe.run(page).response["violations"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    told = {p: [(v["id"], [n["html"] for n in v["nodes"]]) for v in vs] for p, vs in found.items() if vs}
    assert told == {}


def test_rules_are_reached_by_keys_and_their_mistakes_shown_in_place(visit: "Visiting") -> None:
    page = visit("/login", locale="en-GB")
    login(page, seed.PASSWORD)
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/rules")
    page.get_by_role("link", name="Try an expression").click()
    page.get_by_label("PromQL expression").fill("node_load1 >\n  5)")
    page.get_by_role("button", name="Draw the last hour").click()
    assert page.locator(".pointed").inner_text().splitlines() == ["  5)", "   ^"]
    page.get_by_label("PromQL expression").fill("node_load1 > 5")
    page.get_by_role("button", name="Draw the last hour").click()
    page.locator("svg.chart").wait_for()


def test_the_title_has_its_room(visit: "Visiting") -> None:
    page = visit("/login", locale="pl-PL", viewport={"width": 1280, "height": 800})
    login(page, seed.PASSWORD)
    share = page.evaluate(
        "document.querySelector('#queue td.t').offsetWidth / document.querySelector('#queue').offsetWidth"
    )
    assert share >= 0.45


def test_everything_works_without_javascript(visit: "Visiting", store: Store) -> None:
    page = visit("/login", locale="en-GB", java_script_enabled=False)
    login(page, seed.PASSWORD)
    page.get_by_role("link", name="New ticket").click()
    page.get_by_label("What is wrong").fill("No sound")
    page.get_by_role("button", name="Open the ticket").click()
    page.get_by_role("button", name="Take").click()
    page.get_by_text("took the ticket").wait_for()
    page.locator("label", has_text="Internal note").click()
    page.get_by_label("Text").fill("loose cable")
    page.get_by_role("button", name="Send", exact=True).click()
    page.locator(".say.note", has_text="loose cable").wait_for()
    page.get_by_text("Finish").click()
    page.get_by_label("How it was solved").fill("cable plugged in")
    page.get_by_role("button", name="Close", exact=True).first.click()
    page.locator(".head .pill", has_text="closed").wait_for()
    with store.read() as conn:
        done = tickets.find(conn, "11", None)
    assert done is not None
    assert (done.status, done.resolution) == (Status.CLOSED, "cable plugged in")


def test_an_administrator_moves_a_computer_without_javascript(visit: "Visiting", store: Store) -> None:
    page = visit("/login", locale="pl-PL", java_script_enabled=False)
    login(page, seed.PASSWORD, "admin")
    page.goto("/hosts/id-srv-db-02")
    page.get_by_label("Oddział").fill("Łódź")
    page.get_by_label("Rodzaj").select_option("workstation")
    page.get_by_role("button", name="Zapisz").click()
    page.get_by_text("Oddział: Wrocław → Łódź").wait_for()
    page.get_by_label("Notatka o tym komputerze").fill("przeniesiony do Łodzi")
    page.get_by_role("button", name="Dodaj notatkę").click()
    page.locator(".say.note", has_text="przeniesiony do Łodzi").wait_for()
    with store.read() as conn:
        moved = hosts.host(conn, "id-srv-db-02", None)
    assert moved is not None
    assert (moved.site, moved.class_, moved.version) == ("Łódź", "workstation", 2)
