"""The agent's CPU a round and memory, beside node_exporter alone and with a Prometheus in agent mode to push it."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import process
from tests.e2e.plant import fetch, planted, ports, until

WARM = 10


def run(folder: Path, rounds: int = 60) -> list[str]:
    """A line a program: PSS, CPU per round of one second, threads and bytes written; then the ratio."""
    with planted(folder / "footprint") as site, peers(site.folder) as (exporter, pusher, exporter_page):
        site.enrol("bench")
        agent = site.processes["bench"].pid
        until("the agent streams", lambda: "czuwak_agent_uplink_connected 1.0" in site.page())
        series = sum(1 for line in site.page().splitlines() if line and not line.startswith("#"))
        theirs = sum(1 for line in (fetch(exporter_page) or "").splitlines() if line and not line.startswith("#"))
        scrape(WARM, site.page, exporter_page)
        pids = {
            "czuwak-agent, collect+serve+push": agent,
            "node_exporter, serve": exporter,
            "prometheus agent, push": pusher,
        }
        before = {name: (process.cpu_seconds(pid), process.written_bytes(pid)) for name, pid in pids.items()}
        scrape(rounds, site.page, exporter_page)
        cost = {name: (process.cpu_seconds(pid) - before[name][0]) * 1000 / rounds for name, pid in pids.items()}
        lines = [
            f"{name}: {cost[name]:.1f} ms CPU a round, {process.pss_mib(pid):.0f} MiB PSS, "
            f"{process.threads(pid)} threads, "
            f"{process.written_bytes(pid) - before[name][1]} bytes written"
            for name, pid in pids.items()
        ]
    ours, *pair = cost.values()
    ratio = f"ours / node_exporter {ours / max(pair[0], 0.1):.2f}, ours / pair {ours / max(sum(pair), 0.1):.2f}"
    return [*lines, f"series: ours {series}, node_exporter {theirs}", ratio]


def scrape(rounds: int, page: Callable[[], str], exporter_page: str) -> None:
    """Both pages once a second, as a Prometheus would."""
    began = time.monotonic()
    for number in range(rounds):
        page()
        fetch(exporter_page)
        time.sleep(max(0.0, began + number + 1 - time.monotonic()))


@contextlib.contextmanager
def peers(folder: Path) -> Iterator[tuple[int, int, str]]:
    """node_exporter, a Prometheus in agent mode that scrapes it each second, and a Prometheus that receives."""
    port = ports(("exporter", "sink", "agent"))
    (folder / "sink.yml").write_text("global: {}\n")
    (folder / "agent.yml").write_text(
        f"global: {{scrape_interval: 1s}}\n"
        f"scrape_configs: [{{job_name: node, static_configs: [{{targets: ['127.0.0.1:{port['exporter']}']}}]}}]\n"
        f"remote_write: [{{url: 'http://127.0.0.1:{port['sink']}/api/v1/write'}}]\n"
    )
    commands = [
        ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port['exporter']}"],
        ["prometheus", f"--config.file={folder}/agent.yml", "--enable-feature=agent",
         f"--storage.agent.path={folder}/p", f"--web.listen-address=127.0.0.1:{port['agent']}"],
        ["prometheus", f"--config.file={folder}/sink.yml", f"--storage.tsdb.path={folder}/sink",
         "--web.enable-remote-write-receiver", f"--web.listen-address=127.0.0.1:{port['sink']}"],
    ]  # fmt: skip
    started = [subprocess.Popen(c, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for c in commands]
    try:
        page = f"http://127.0.0.1:{port['exporter']}/metrics"
        until("node_exporter answers", lambda: fetch(page))
        yield started[0].pid, started[1].pid, page
    finally:
        for each in started:
            each.kill()  # an agent without its receiver would wait a minute to deliver the rest
        for each in started:
            each.wait(20)
