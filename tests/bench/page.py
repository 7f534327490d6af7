"""Time of the queue page on the server with many tickets, through the real gunicorn, logged in as a technician."""

import statistics
import time
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, AlertState, EventKind
from collector.intake import Intake
from collector.labels import Labels, dedup_key
from collector.store import hosts, open_store, users
from collector.tickets.desk import Policy
from tests.e2e.plant import Plant, planted

BLOCK = 500


def run(folder: Path, tickets: int = 10_000, requests: int = 100) -> list[str]:
    """A line a view: p50 and p95 of the whole request, and the page's weight."""
    with planted(folder / "page") as site:
        fill(site, tickets)
        opener = logged_in(site)
        return [measured(opener, site, name, path, requests) for name, path in views(tickets)]


def views(tickets: int) -> Iterator[tuple[str, str]]:
    """What a technician opens all day."""
    yield f"queue, all open, {tickets} tickets", "/queue?view=all"
    yield "queue, unassigned", "/queue?view=unassigned"
    yield "queue, a host searched", "/queue?q=host:pc-0042"


def measured(opener: urllib.request.OpenerDirector, site: Plant, name: str, path: str, requests: int) -> str:
    """One view, `requests` times after ten for warmth."""
    took, weight = [], 0
    for number in range(requests + 10):
        began = time.perf_counter()
        with opener.open(site.url + path, timeout=10) as answer:
            weight = len(answer.read())
        if number >= 10:
            took.append((time.perf_counter() - began) * 1000)
    took.sort()
    p95 = took[int(len(took) * 0.95)]
    return f"{name}: p50 {statistics.median(took):.0f} ms, p95 {p95:.0f} ms, {weight / 1000:.0f} kB"


def logged_in(site: Plant) -> urllib.request.OpenerDirector:
    """An opener with a session, through a login link."""
    store = open_store(f"sqlite:///{site.folder}/czuwak.db")
    with store.write() as conn:
        user = users.user_by_login(conn, "admin")
        assert user is not None
        token = users.new_session(conn, user.id, time.time(), 600)
    store.close()
    opener = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({})
    )
    opener.open(f"{site.url}/login/once/{token}", timeout=10).close()
    return opener


def fill(site: Plant, tickets: int) -> None:
    """Tickets through the one door, as alerts open them."""
    store = open_store(f"sqlite:///{site.folder}/czuwak.db")
    with store.read() as conn:
        company = hosts.companies(conn)[0].slug
    intake = Intake(store, Policy())
    for first in range(0, tickets, BLOCK):
        at = time.time()
        made = [fired(company, n, at) for n in range(first, min(first + BLOCK, tickets))]
        intake.alerts(AlertChanges(tuple(a for a, _ in made), (), tuple(e for _, e in made)), at)
    store.close()


def fired(company: str, number: int, at: float) -> tuple[Alert, AlertEvent]:
    """One firing alert and its event."""
    severity = ("info", "warning", "critical")[number % 3]
    labels = Labels.of(
        alertname="Bench", instance=f"pc-{number:05d}", host=f"pc-{number:05d}", company=company, severity=severity
    )
    key = dedup_key(company, "rules", labels)
    words = {
        "summary": f"Disk /data on pc-{number:05d} is full in 3 h",
        "summary_pl": f"Dysk /data na pc-{number:05d} pełny za 3 h",
    }
    alert = Alert(key, "bench", labels, AlertState.FIRING, at, at, 97.0, words, fired_at=at)
    event = AlertEvent(EventKind.FIRED, "rules", key, labels, words, 97.0, at, at, "bench", "Bench", "disk > 90")
    return alert, event
