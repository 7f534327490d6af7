"""The database's disk fills up: everything says so, nothing is lost, and with room again it goes on by itself."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.plant import Plant, planted, until

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
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mount], check=True)
    yield mount
    subprocess.run(["umount", "-l", mount], check=True)


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


def filled(disk: Path) -> Path:
    """Takes every byte that is left."""
    path = disk / "fill"
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return path


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
    before = site.pids()

    room = filled(disk)
    (flags / "flag.prom").write_text("demo_flag 1\n")
    until("the pages refuse to save", lambda: posted(site, "during")[0] == 503)
    until("ingest says so", lambda: "disk is full" in str(site.lines("engine_failed")))
    until("batches wait", lambda: number(site, "czuwak_agent_spool_batches") >= 4)
    assert site.get("/-/healthy") is not None
    assert site.pids() == before

    room.unlink()
    opened = site.ticket("FlagIsUp")
    assert opened["occurrences"] == 1
    assert posted(site, "during")[0] == 201
    until("no batch waits", lambda: number(site, "czuwak_agent_spool_batches") <= 1)
    assert number(site, "czuwak_agent_batches_dropped_total") == 0
    assert len(site.tickets("FlagIsUp")) == 1
    assert site.pids() == before
