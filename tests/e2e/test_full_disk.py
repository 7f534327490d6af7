"""The database's disk fills up: everything says so, nothing is lost, and with room again it goes on by itself."""

import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.plant import Plant, planted, until
from tests.smalldisk import filled, mounted

PASSWORD = "correct horse battery"
RULES = """\
groups:
  - name: files
    rules:
      - alert: FlagIsUp
        expr: demo_flag == 1
        labels: {severity: warning}
        annotations: {summary: "The flag is up on {{ $labels.instance }}"}
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB for the database."""
    with mounted(tmp_path / "disk", 4) as mount:
        yield mount


@pytest.fixture
def site(disk: Path, tmp_path: Path) -> Iterator[Plant]:
    database = f'[database]\nurl = "sqlite:///{disk}/czuwak.db"\n'
    with planted(tmp_path / "collector", RULES, more=database) as site:
        yield site


def posted(site: Plant, title: str) -> tuple[int, str]:
    """Status and body of a new ticket by the HTTP interface."""
    body = json.dumps({"title": title, "company": "test", "kind": "request"}).encode()
    headers = {"Authorization": f"Bearer {site.bearer}", "Content-Type": "application/json", "Idempotency-Key": title}
    request = urllib.request.Request(f"{site.url}/api/v1/tickets", body, headers)  # noqa: S310 - our own address
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return int(answer.status), str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Reader:
    """A person who has logged in on the pages and sends forms as a browser does, without JavaScript."""

    def __init__(self, site: Plant) -> None:
        self._url = site.url
        self._open = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor()
        ).open
        (site.folder / "word").write_text(PASSWORD)
        words = ("--config", str(site.config), "--password-file", str(site.folder / "word"))
        site.command("user", "add", "anna", *words)
        self._token = self.token("/login")
        assert self.send("/login", login="anna", password=PASSWORD)[0] == 200
        self._token = self.token("/help/keys")  # good for every form of this session

    def token(self, path: str) -> str:
        with self._open(self._url + path, timeout=20) as page:
            found = re.search(r'name="csrf_token" value="([^"]+)"', page.read().decode())
        assert found is not None
        return found[1]

    def send(self, path: str, **form: str) -> tuple[int, str, str]:
        """Status, kind and text of what a form is answered with."""
        body = urllib.parse.urlencode({"csrf_token": self._token, **form}).encode()
        try:
            with self._open(self._url + path, body, timeout=20) as answer:
                return int(answer.status), str(answer.headers["Content-Type"]), str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, str(error.headers["Content-Type"]), error.read().decode()


def number(site: Plant, name: str) -> float:
    """One of the agent's own numbers."""
    found = [line for line in site.page().splitlines() if line.startswith(name + " ")]
    return float(found[0].rpartition(" ")[2]) if found else -1.0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")
def test_a_full_disk_refuses_pages_holds_acks_and_loses_nothing(site: Plant, disk: Path, tmp_path: Path) -> None:
    flags = tmp_path / "flags"
    flags.mkdir()
    (flags / "flag.prom").write_text("demo_flag 0\n")
    site.enrol("host", probes=f'textfiles = "{flags}"')
    until("the host streams", lambda: number(site, "czuwak_agent_batches_acked_total") > 1)
    assert posted(site, "before")[0] == 201
    anna = Reader(site)
    form = {"title": "By hand", "company": "test", "kind": "request", "source": "phone", "impact": "2", "urgency": "2"}
    before = site.pids()

    room = filled(disk)
    (flags / "flag.prom").write_text("demo_flag 1\n")
    until("the interface refuses to save", lambda: posted(site, "during")[0] == 503)
    status, kind, page = anna.send("/tickets/new", key="once", **form)
    assert (status, kind) == (503, "text/html; charset=utf-8")
    assert "<h1>The database does not answer</h1>" in page
    assert "Nothing was saved" in page
    until("ingest says so", lambda: "disk is full" in str(site.lines("engine_failed")))
    until("batches wait", lambda: number(site, "czuwak_agent_spool_batches") >= 4)
    assert site.get("/-/healthy") is not None
    assert site.pids() == before

    room.unlink()
    opened = site.ticket("FlagIsUp")
    assert opened["occurrences"] == 1
    assert posted(site, "during")[0] == 201
    for _ in range(2):
        assert anna.send("/tickets/new", key="once", **form)[0] == 200
    assert json.loads(site.get("/api/v1/tickets?q=%22By+hand%22") or "{}")["total"] == 1
    until("no batch waits", lambda: number(site, "czuwak_agent_spool_batches") <= 1)
    assert number(site, "czuwak_agent_batches_dropped_total") == 0
    assert len(site.tickets("FlagIsUp")) == 1
    assert site.pids() == before
