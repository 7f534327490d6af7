"""What the product promises when something breaks, on real processes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.plant import Plant, until
from tests.smalldisk import mounted

Start = Callable[..., Plant]

WORKER = "czuwak-e2e-worker"
PROBES = {"probes": f'processes = [{{ name = "{WORKER}", match = "{WORKER}" }}]'}
RULES = """
groups:
  - name: watched
    rules:
      - alert: WorkerDown
        expr: czuwak_process_running == 0
        for: {hold}
        labels: {{severity: critical, impact: high}}
        annotations: {{summary: "{{{{ $labels.name }}}} is down on {{{{ $labels.instance }}}}"}}
"""


@pytest.fixture
def worker() -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", WORKER]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_for_clock_goes_on_over_a_killed_ingest_process(
    plant: Start, worker: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    site = plant(RULES.format(hold="12s"), parts=("ingest", "web", "worker"))
    first = worker()
    site.enrol("host", **PROBES)
    until("the worker is seen", lambda: f'name="{WORKER}"}} 1.0' in site.page())
    first.kill()
    began = time.time()
    until("the alert is pending", lambda: alert_states(site) == ["pending"])
    site.kill("ingest", signal.SIGKILL)
    site.serve("ingest")
    opened = site.ticket("WorkerDown")
    assert opened["occurrences"] == 1
    assert time.time() - began < 12 + 12, "the clock started again"
    events = site.timeline(opened["number"])

    site.kill("ingest", signal.SIGKILL)
    site.serve("ingest")
    until("the host is back", lambda: host_presence(site) == "online")
    time.sleep(3)
    assert site.timeline(opened["number"]) == events
    assert alert_states(site) == ["firing"]

    worker()
    recovered = site.ticket("WorkerDown", lambda t: t["recovered_at"] is not None)
    assert recovered["number"] == opened["number"]
    assert len(site.tickets("WorkerDown")) == 1


def test_a_silent_agent_is_no_proof_of_recovery(plant: Start) -> None:
    site = plant(RULES.format(hold="0s"))
    site.enrol("host", **PROBES)
    opened = site.ticket("WorkerDown")
    site.kill("host", signal.SIGKILL)
    silent = site.ticket("WorkerDown", lambda t: t["unknown_since"] is not None)
    assert (silent["recovered_at"], silent["status"]) == (None, opened["status"])
    assert site.timeline(opened["number"])[-1] == "unknown"
    site.agent("host")
    site.ticket("WorkerDown", lambda t: t["unknown_since"] is None)
    assert len(site.tickets("WorkerDown")) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")
def test_a_filled_filesystem_opens_a_ticket_and_freeing_it_recovers(plant: Start, tmp_path: Path) -> None:
    with mounted(tmp_path / "small", 16) as mount:
        site = plant(shipped_filesystem_rules())
        site.enrol("host")
        (mount / "fill").write_bytes(b"\0" * (15 * 2**20 + 700 * 2**10))
        opened = site.ticket("HostFilesystemFull", lambda t: t["labels"].get("mountpoint") == str(mount))
        assert re.fullmatch(rf"{mount} on \S+ is 9[78]\.\d+% full \(limit 92%\)", opened["title"])
        (mount / "fill").unlink()
        healed = site.ticket("HostFilesystemFull", lambda t: t["recovered_at"] is not None)
        assert healed["number"] == opened["number"]


def shipped_filesystem_rules() -> str:
    """The shipped rules, only more hasty."""
    text = (Path(__file__).parents[2] / "collector/rules/defaults/filesystem.yml").read_text()
    return re.sub(r"(interval|for|keep_firing_for): \d+[sm]", r"\1: 1s", text)


def alert_states(site: Plant) -> list[str]:
    return [str(row[0]) for row in site.rows("select state from alert")]


def host_presence(site: Plant) -> str:
    page = site.get("/api/v1/hosts")
    return str(json.loads(page)["hosts"][0]["presence"]) if page else ""
