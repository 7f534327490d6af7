"""Ingest CPU per sample beside Prometheus' remote-write receiver, and the time from a crossing to its ticket."""

import contextlib
import re
import sqlite3
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from collector.bench import identities
from collector.ingest import ca
from collector.store import open_store
from tests.bench import process, remote_write
from tests.chaos import ledger
from tests.e2e.plant import BIN, Plant, fetch, planted, until

WARM = 12.0
RUNS, RUN = 5, 6.0  # how often CPU is measured, and for how many seconds
TAKEN = "czuwak_collector_samples_total"
RULES = """
groups:
  - name: bench
    rules:
      - alert: BenchLevel
        expr: bench_level > 90
        labels: {severity: info}
        annotations: {summary: "over {{ $value }}"}
"""
Count = Callable[[], float]


def run(folder: Path, agents: int = 200, series: int = 500, crossings: int = 60) -> list[str]:
    """Lines: CPU per sample of ours with and without rules and of Prometheus, memory, the latency's quantiles."""
    load = f"{agents} hosts x {series} series each second, a batch a host"
    with_rules, late, pss = ours(folder / "rules", '["default", "rules.yml"]', agents, series, crossings)
    without, _, _ = ours(folder / "bare", "[]", agents, series, 0)
    theirs = prometheus(folder / "prometheus", agents, series)
    p99 = late[min(len(late) - 1, int(len(late) * 0.99))]
    quantiles = f"p50 {statistics.median(late):.2f} s, p99 {p99:.2f} s"
    rules = f"{with_rules:.2f} us, {theirs / with_rules:.1f} times less; {pss:.0f} MiB PSS"
    return [
        f"{load}: CPU a sample of the whole process, median of {RUNS} runs of {RUN:g} s",
        f"prometheus, remote write without TLS and rules: {theirs:.2f} us",
        f"ours, mutual TLS, no rules: {without:.2f} us, {theirs / without:.1f} times less",
        f"ours, mutual TLS, default rules each second: {rules}",
        f"crossing sent -> ticket committed: {len(late)} of {crossings}, {quantiles}",
    ]


def prometheus(folder: Path, hosts: int, series: int) -> float:
    """Microseconds of its CPU a sample."""
    seconds = 2 * WARM + (RUNS + 1) * RUN
    with (
        remote_write.receiver(folder) as (pid, port),
        remote_write.load(port, hosts, series, seconds),
    ):
        return measured(pid, counter(f"http://127.0.0.1:{port}/metrics", remote_write.APPENDED), hosts * series)


def ours(folder: Path, files: str, agents: int, series: int, crossings: int) -> tuple[float, list[float], float]:
    """Microseconds of the ingest process' CPU a sample, seconds from each crossing to its ticket, MiB."""
    with planted(folder, RULES, ("ingest", "web", "worker"), files=files) as site:
        pid = site.processes["ingest"].pid
        with watched(site) as seen, swarm(site, agents, series, crossings) as owed:
            cost = measured(pid, counter(f"{site.url}/metrics", TAKEN), agents * series)
            memory = process.pss_mib(pid)
        late = sorted(seen.get(name, float("inf")) - at for name, at in owed.items())
    return cost, late, memory


def measured(pid: int, taken: Count, rate: int) -> float:
    """The median of several runs, once samples arrive at their rate."""
    until("samples arrive", lambda: taken() > rate)
    time.sleep(WARM)
    costs = []
    for _ in range(RUNS):
        cpu, samples = process.cpu_seconds(pid), taken()
        time.sleep(RUN)
        costs.append((process.cpu_seconds(pid) - cpu) * 1e6 / (taken() - samples))
    return statistics.median(costs)


def counter(page: str, name: str) -> Count:
    """Reads a server's own count of samples."""

    def read() -> float:
        found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", fetch(page) or "", re.MULTILINE)
        return sum(map(float, found))

    return read


@contextlib.contextmanager
def swarm(site: Plant, agents: int, series: int, crossings: int) -> Iterator[dict[str, float]]:
    """Agents that send while the block runs; afterwards the mapping says when each crossing left."""
    keys, owed = site.folder / "swarm", dict[str, float]()
    with contextlib.closing(open_store(f"sqlite:///{site.folder}/czuwak.db")) as store:
        identities.make(keys, ca.load(site.folder / "ca"), store, agents, time.time())
    time.sleep(2)  # the identities are noticed
    seconds = 2 * WARM + (RUNS + 1) * RUN
    words = ["--collector", f"127.0.0.1:{site.ports['ingest']}", "--identities", str(keys), "--interval", "1"]
    words += ["--agents", str(agents), "--series", str(series), "--seconds", str(seconds)]
    words += ["--crossings", str(crossings), "--cross-at", str(WARM), "--cross-spread", str(RUNS * RUN)]
    words += ["--ledger", str(site.folder / "ledger")]
    sender = subprocess.Popen([BIN / "czuwak", "bench", "swarm", *words], stdout=subprocess.DEVNULL)
    try:
        yield owed
    finally:
        sender.wait(120)
    owed.update({each.agent: each.crossed for each in ledger.read((site.folder / "ledger").iterdir()).episodes})


@contextlib.contextmanager
def watched(site: Plant) -> Iterator[dict[str, float]]:
    """When each host's ticket was first visible from outside."""
    seen, stop = dict[str, float](), threading.Event()

    def watch() -> None:
        with contextlib.closing(sqlite3.connect(f"file:{site.folder}/czuwak.db?mode=ro", uri=True, timeout=5)) as conn:
            while not stop.wait(0.02):
                rows = conn.execute("select host from ticket where rule_name = 'BenchLevel'").fetchall()
                at = time.time()
                for (name,) in rows:
                    seen.setdefault(name, at)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()
