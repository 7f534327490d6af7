"""A real Prometheus scrapes a real running agent and node_exporter side by side: over time both tell the same."""

import json
import re
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import exposition, report
from agent.probes import ProbeSettings
from agent.report import Report
from tests.e2e.plant import BIN, fetch, ports, until

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - {{job_name: agent, static_configs: [{{targets: ["127.0.0.1:{agent}"]}}]}}
  - {{job_name: node, static_configs: [{{targets: ["127.0.0.1:{node}"]}}]}}
"""

# Counters only grow, so ours must lie between theirs before and after: exact but for the moment of reading.
COUNTERS = (
    "node_cpu_seconds_total",
    "node_context_switches_total",
    "node_disk_read_bytes_total",
    "node_disk_writes_completed_total",
    "node_disk_written_bytes_total",
    "node_forks_total",
    "node_intr_total",
    "node_network_receive_bytes_total",
    "node_network_transmit_packets_total",
    "node_vmstat_pgfault",
)
CONSTANTS = (
    "node_boot_time_seconds",
    "node_memory_MemTotal_bytes",
    "node_filesystem_size_bytes",
    "node_network_mtu_bytes",
)
# Gauges that move, and by how much between two readings of a machine others work on.
GAUGES = {
    "node_load1": 0.5,
    "node_memory_MemAvailable_bytes": 512 * 2**20,
    "node_filesystem_avail_bytes": 512 * 2**20,
    "node_time_seconds": 2.5,
}
SPAN = 12  # seconds of scrapes that are compared
LATE = 2.5  # an agent's round is up to one interval old when it is scraped; the scrapers are not in step
JITTER = 0.05  # the kernel's idle time may go back by ticks
# node_exporter excuses these from promtool's advice, and nothing else.
EXCUSED = re.compile(r"^node_(entropy|memory|netstat|wifi_station)_")

Series = dict[tuple[tuple[str, str], ...], list[tuple[float, float]]]


@pytest.fixture(scope="module")
def chosen() -> dict[str, int]:
    return ports(("agent", "node", "prometheus"))


@pytest.fixture(scope="module")
def prometheus(chosen: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address, once both are scraped for long enough."""
    folder = tmp_path_factory.mktemp("prometheus")
    base = f"http://127.0.0.1:{chosen['prometheus']}"
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands(folder, chosen):
            started += [subprocess.Popen(command, stderr=subprocess.DEVNULL)]
        enough = f"min(count_over_time(up[1m]) and min_over_time(up[{SPAN}s]) == 1) >= {SPAN + 4}"
        until("both were scraped", lambda: asked(base, enough), patience=90)
        yield base
    finally:
        for process in started:
            process.terminate()
            process.wait(20)


def commands(folder: Path, chosen: dict[str, int]) -> list[list[str]]:
    settings = ProbeSettings()
    (folder / "prometheus.yml").write_text(CONFIG.format(**chosen))
    (folder / "agent.toml").write_text(
        f'interval = 1\n[agent]\nstate_dir = "{folder}/state"\n[identity]\ndir = "{folder}/identity"\n'
        f'[exposition]\nlisten = "127.0.0.1:{chosen["agent"]}"\n'
    )
    return [
        [str(BIN / "czuwak-agent"), "run", "--config", str(folder / "agent.toml")],
        [
            "prometheus-node-exporter",
            f"--web.listen-address=127.0.0.1:{chosen['node']}",
            f"--collector.filesystem.mount-points-exclude={settings.mounts_excluded}",
            f"--collector.filesystem.fs-types-exclude={settings.filesystems_excluded}",
            f"--collector.diskstats.device-exclude={settings.disks_excluded}",
            f"--collector.netdev.device-exclude={settings.networks_excluded}",
            f"--collector.netclass.ignored-devices={settings.networks_excluded}",
        ],
        [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{chosen['prometheus']}",
        ],
    ]


def asked(base: str, expression: str) -> list[dict[str, Any]]:
    page = fetch(f"{base}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
    return json.loads(page)["data"]["result"] if page else []


def samples(base: str, name: str, job: str) -> Series:
    """The stored samples of a family by its labels."""
    found = {}
    for series in asked(base, f'{name}{{job="{job}"}}[{SPAN}s]'):
        labels = {k: v for k, v in series["metric"].items() if k not in {"__name__", "job", "instance"}}
        found[tuple(sorted(labels.items()))] = [(float(at), float(value)) for at, value in series["values"]]
    return found


def pairs(base: str, name: str) -> list[tuple[list[tuple[float, float]], list[tuple[float, float]]]]:
    """Our samples and theirs of every series; both must have the same series."""
    ours, theirs = samples(base, name, "agent"), samples(base, name, "node")
    # A mount or a device may come or go meanwhile: what was there all the time counts.
    mine, other = ({k for k, v in each.items() if len(v) >= SPAN - 2} for each in (ours, theirs))
    assert mine
    assert sorted(mine ^ other) == []
    return [(ours[key], theirs[key]) for key in sorted(mine)]


@pytest.mark.server("prometheus", "node_exporter")
@pytest.mark.parametrize("name", COUNTERS)
def test_a_counter_of_the_agent_is_between_node_exporters_readings(prometheus: str, name: str) -> None:
    compared = 0
    for ours, theirs in pairs(prometheus, name):
        for at, value in ours:
            before = [v for t, v in theirs if t <= at - LATE]
            after = [v for t, v in theirs if t >= at]
            if before and after:
                assert before[-1] - JITTER <= value <= after[0] + JITTER, (name, at)
                compared += 1
    assert compared >= 5


@pytest.mark.server("prometheus", "node_exporter")
@pytest.mark.parametrize("name", CONSTANTS)
def test_what_does_not_change_is_equal_in_every_scrape(prometheus: str, name: str) -> None:
    for ours, theirs in pairs(prometheus, name):
        assert {round(value) for _, value in ours} == {round(value) for _, value in theirs}


@pytest.mark.server("prometheus", "node_exporter")
@pytest.mark.parametrize("name", GAUGES)
def test_a_gauge_of_the_agent_moves_with_node_exporters(prometheus: str, name: str) -> None:
    for ours, theirs in pairs(prometheus, name):
        for at, value in ours:
            near = [v for t, v in theirs if abs(t - at) <= LATE]
            assert not near or min(near) - GAUGES[name] <= value <= max(near) + GAUGES[name], (name, at)


@pytest.mark.server("prometheus", "node_exporter")
def test_prometheus_misses_no_scrape_and_no_series(prometheus: str) -> None:
    (least,) = asked(prometheus, f'min_over_time(up{{job="agent"}}[{SPAN}s])')
    assert float(least["value"][1]) == 1
    (stored,) = asked(prometheus, f'min_over_time(scrape_samples_post_metric_relabeling{{job="agent"}}[{SPAN}s])')
    assert float(stored["value"][1]) > 150


@pytest.mark.server("prometheus", "promtool", "node_exporter")
def test_promtool_has_no_advice_for_the_page_of_a_running_agent(prometheus: str, chosen: dict[str, int]) -> None:
    assert prometheus
    page = fetch(f"http://127.0.0.1:{chosen['agent']}/metrics") or ""
    assert "node_time_seconds " in page
    assert advice(page.encode()) == []


@pytest.mark.server("promtool")
def test_promtool_has_no_advice_for_what_an_enrolled_agent_adds() -> None:
    body, _ = exposition.page(tuple(report.samples(Report(nacked={"quota": 1}))))
    assert b'czuwak_agent_batches_nacked_total{reason="quota"} 1' in body
    assert advice(body) == []


def advice(page: bytes) -> list[str]:
    ran = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    return [line for line in ran.stderr.decode().splitlines() if not EXCUSED.match(line)]
