"""Who may see and do what: every route of the pages for every kind of reader. A route without a row fails."""

import pytest
from flask import Flask

from tests.web.visitor import Visit

# endpoint -> (method, path, stranger, technician of alfa only, technician of all, admin)
# 000010 and id-srv-db-02 belong to alfa; 000007 and id-srv-app-03 to beta.
BETA, ALFA = "/tickets/CZ-2026-000007", "/tickets/CZ-2026-000010"
pytestmark = pytest.mark.usefixtures("estate")

ROUTES = {
    "static": [("GET", "/static/app.css", 200, 200, 200, 200)],
    "auth.login": [("GET", "/login", 200, 302, 302, 302)],
    "auth.once": [("GET", "/login/once/wrong", 403, 403, 403, 403)],
    "auth.logout": [("POST", "/logout", 303, 303, 303, 303)],
    "language.save": [("POST", "/preferences", 303, 303, 303, 303)],
    "language.keys": [("GET", "/help/keys", 302, 200, 200, 200)],
    "queue.home": [("GET", "/", 302, 302, 302, 302)],
    "queue.show": [("GET", "/queue", 302, 200, 200, 200), ("GET", "/queue/wrong", 302, 404, 404, 404)],
    "queue.rows": [("GET", "/queue/all/rows", 302, 200, 200, 200)],
    "queue.bulk": [("POST", "/queue/bulk", 401, 400, 400, 400)],
    "compose.form": [("GET", "/tickets/new", 302, 200, 200, 200)],
    "compose.create": [("POST", "/tickets/new", 401, 400, 400, 400)],
    "ticket.show": [("GET", BETA, 302, 404, 200, 200), ("GET", ALFA, 302, 200, 200, 200)],
    "ticket.news": [("GET", f"{BETA}/news", 302, 404, 200, 200)],
    "ticket.evidence": [("GET", f"{BETA}/evidence", 302, 404, 200, 200)],
    "ticket.next_": [("GET", f"{BETA}/next", 302, 404, 302, 302)],
    "ticket.act": [("POST", f"{BETA}/take", 401, 404, 303, 303), ("POST", f"{ALFA}/wrong", 401, 404, 404, 404)],
    "rules.index": [("GET", "/rules", 302, 200, 200, 200)],
    "rules.show": [("GET", "/rules/Anything", 302, 200, 200, 200)],  # without an engine nobody knows the names
    "preview.show": [("GET", "/explore", 302, 403, 200, 200), ("GET", "/explore?q=up", 302, 403, 503, 503)],
    "backtest.form": [("GET", "/backtest", 302, 403, 200, 200)],
    "backtest.run": [("POST", "/backtest", 401, 403, 422, 422)],
    "runbook.index": [("GET", "/runbooks", 302, 200, 200, 200)],
    "runbook.show": [
        ("GET", "/runbooks/HostFilesystemFull", 302, 200, 200, 200),
        ("GET", "/runbooks/nothing", 302, 404, 404, 404),
    ],
    "hosts.index": [("GET", "/hosts", 302, 200, 200, 200)],
    "hosts.show": [
        ("GET", "/hosts/id-srv-app-03", 302, 404, 200, 200),
        ("GET", "/hosts/id-srv-db-02", 302, 200, 200, 200),
    ],
    "hosts.note": [
        ("POST", "/hosts/id-srv-app-03/note", 401, 404, 303, 303),
        ("POST", "/hosts/id-srv-db-02/note", 401, 303, 303, 303),
    ],
    "machines.approve": [
        ("POST", "/hosts/id-srv-app-03/approve", 401, 404, 403, 303),
        ("POST", "/hosts/id-srv-db-02/approve", 401, 403, 403, 303),
    ],
    "machines.same": [
        ("POST", "/hosts/id-srv-app-03/same", 401, 404, 403, 303),
        ("POST", "/hosts/id-srv-db-02/same", 401, 403, 403, 303),
    ],
    "hosts.edit": [
        ("POST", "/hosts/id-srv-app-03/edit", 401, 404, 403, 303),
        ("POST", "/hosts/id-srv-db-02/edit", 401, 403, 403, 303),
    ],
    "hosts.vitals": [("GET", "/hosts/id-srv-app-03/vitals", 302, 404, 200, 200)],
}
OTHERS = ("api.", "health.")  # they have their own readers and their own table
CASES = [(endpoint, *case) for endpoint, cases in ROUTES.items() for case in cases]


def test_every_route_has_its_row(app: Flask) -> None:
    pages = {rule.endpoint for rule in app.url_map.iter_rules() if not rule.endpoint.startswith(OTHERS)}
    assert pages == set(ROUTES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[2]}")
def test_each_reader_gets_what_is_theirs(browser: Visit, case: tuple[str, str, str, int, int, int, int]) -> None:
    _, method, path, *expected = case
    for name, code in zip(("", "jan", "anna", "admin"), expected, strict=True):
        here = browser(name)
        got = here.get(path) if method == "GET" else here.send(path, {}, page="" if name else "/login")
        assert (name, got.status_code) == (name, code)


def test_a_company_s_technician_sees_only_its_tickets_and_hosts(browser: Visit) -> None:
    jan = browser("jan")
    for path in ("/queue", "/queue/closed", "/queue/all/rows", "/hosts", "/tickets/new"):
        assert "Beta" not in jan.get(path).text
        assert "srv-app-03" not in jan.get(path).text


def test_a_ticket_for_another_company_is_not_opened(browser: Visit) -> None:
    form = {"title": "x", "company": "beta", "source": "phone", "kind": "request", "impact": "3", "urgency": "3"}
    got = browser("jan").send("/tickets/new", form)
    assert got.status_code == 422
