"""Ingest CPU per sample beside Prometheus' remote-write receiver, and the time from a crossing to its ticket."""

import contextlib
import re
import sqlite3
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import collector.rules
from collector.bench import identities
from collector.ingest import ca
from collector.store import open_store
from tests.bench import process, remote_write
from tests.chaos import ledger
from tests.e2e.plant import BIN, Plant, fetch, planted, until

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
DEFAULTS = Path(collector.rules.__file__).parent / "defaults"
Count = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Shape:
    """A load: a batch of `series` from each host every `interval` seconds; `warm` seconds until all of them send."""

    hosts: int
    interval: float
    warm: float
    series: int = 500

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self.hosts * self.series / self.interval

    @property
    def seconds(self) -> float:
        """How long to send."""
        return 2 * self.warm + (RUNS + 1) * RUN

    def __str__(self) -> str:
        return f"{self.hosts} hosts x {self.series} series each {self.interval:g} s"


HEADLINE = Shape(200, 1.0, 12.0)
FLEET = Shape(600, 15.0, 30.0)  # few batches come together, and what is done each second is a larger part


def run(folder: Path, crossings: int = 60) -> list[str]:
    """Lines: CPU per sample of ours with and without rules and of Prometheus, memory, the latency's quantiles."""
    with_rules, late, pss = ours(folder / "rules", '["default", "rules.yml"]', HEADLINE, crossings)
    without, _, _ = ours(folder / "bare", "[]", HEADLINE, 0)
    theirs = prometheus(folder / "prometheus", HEADLINE)
    theirs_with_rules = prometheus(folder / "prometheus-rules", HEADLINE, f"{DEFAULTS}/*.yml")
    calm, _, _ = ours(folder / "calm", "[]", FLEET, 0)
    theirs_calm = prometheus(folder / "prometheus-calm", FLEET)
    p99 = late[min(len(late) - 1, int(len(late) * 0.99))]
    quantiles = f"p50 {statistics.median(late):.2f} s, p99 {p99:.2f} s"
    rules = f"{with_rules:.2f} us, {theirs_with_rules / with_rules:.1f} times less; {pss:.0f} MiB PSS"
    return [
        f"{HEADLINE}, a batch a host: CPU a sample of the whole process, median of {RUNS} runs of {RUN:g} s",
        f"prometheus, remote write without TLS and rules: {theirs:.2f} us",
        f"ours, mutual TLS, no rules: {without:.2f} us, {theirs / without:.1f} times less",
        f"prometheus, remote write without TLS, the same default rules: {theirs_with_rules:.2f} us",
        f"ours, mutual TLS, default rules: {rules}",
        f"crossing sent -> ticket committed: {len(late)} of {crossings}, {quantiles}",
        f"{FLEET}: prometheus {theirs_calm:.2f} us, ours without rules {calm:.2f} us",
    ]


def prometheus(folder: Path, shape: Shape, rules: str | None = None) -> float:
    """Microseconds of its CPU a sample."""
    with (
        remote_write.receiver(folder, rules) as (pid, port),
        remote_write.load(port, shape.hosts, shape.series, shape.interval, shape.seconds),
    ):
        return measured(pid, counter(f"http://127.0.0.1:{port}/metrics", remote_write.APPENDED), shape)


def ours(folder: Path, files: str, shape: Shape, crossings: int) -> tuple[float, list[float], float]:
    """Microseconds of the ingest process' CPU a sample, seconds from each crossing to its ticket, MiB."""
    with planted(folder, RULES, ("ingest", "web", "worker"), files=files, interval=shape.interval) as site:
        pid = site.processes["ingest"].pid
        with watched(site) as seen, swarm(site, shape, crossings) as owed:
            cost = measured(pid, counter(f"{site.url}/metrics", TAKEN), shape)
            memory = process.pss_mib(pid)
        late = sorted(seen.get(name, float("inf")) - at for name, at in owed.items())
    return cost, late, memory


def measured(pid: int, taken: Count, shape: Shape) -> float:
    """The median of several runs, once samples arrive at their rate."""
    until("samples arrive", lambda: taken() > shape.rate)
    time.sleep(shape.warm)
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
def swarm(site: Plant, shape: Shape, crossings: int) -> Iterator[dict[str, float]]:
    """Agents that send while the block runs; afterwards the mapping says when each crossing left."""
    keys, owed = site.folder / "swarm", dict[str, float]()
    with contextlib.closing(open_store(f"sqlite:///{site.folder}/czuwak.db")) as store:
        identities.make(keys, ca.load(site.folder / "ca"), store, shape.hosts, time.time())
    time.sleep(2)  # the identities are noticed
    words = ["--collector", f"127.0.0.1:{site.ports['ingest']}", "--identities", str(keys)]
    words += ["--agents", str(shape.hosts), "--series", str(shape.series), "--interval", f"{shape.interval:g}"]
    words += ["--crossings", str(crossings), "--cross-at", str(shape.warm), "--cross-spread", str(RUNS * RUN)]
    words += ["--seconds", str(shape.seconds), "--ledger", str(site.folder / "ledger")]
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
