"""Ingest CPU per sample and the time from a crossing's leaving the agent to its committed ticket, over real mTLS."""

import contextlib
import json
import sqlite3
import statistics
import subprocess
import time
from pathlib import Path

from collector.bench import identities
from collector.ingest import ca
from collector.store import open_store
from tests.bench import process
from tests.chaos import ledger
from tests.e2e.plant import BIN, Plant, planted

RULES = """
groups:
  - name: bench
    rules:
      - alert: BenchLevel
        expr: bench_level > 90
        labels: {severity: info}
        annotations: {summary: "over {{ $value }}"}
"""


def run(folder: Path, agents: int = 200, series: int = 500, rounds: int = 40, crossings: int = 60) -> list[str]:
    """Lines: CPU per sample of the ingest process, its memory, what was acknowledged, and the latency's quantiles."""
    parts = ("ingest", "web", "worker")
    with planted(folder / "ingest", RULES, parts, files='["default", "rules.yml"]') as site:
        keys = site.folder / "swarm"
        with contextlib.closing(open_store(f"sqlite:///{site.folder}/czuwak.db")) as store:
            identities.make(keys, ca.load(site.folder / "ca"), store, agents, time.time())
        pid = site.processes["ingest"].pid
        time.sleep(2)  # the identities are noticed
        words = ["--collector", f"127.0.0.1:{site.ports['ingest']}", "--identities", str(keys)]
        words += ["--agents", str(agents), "--series", str(series), "--interval", "1", "--seconds", str(rounds)]
        words += ["--crossings", str(crossings), "--cross-at", str(rounds / 2), "--cross-spread", str(rounds / 2 - 4)]
        words += ["--ledger", str(site.folder / "ledger")]
        before = process.cpu_seconds(pid)
        swarm = subprocess.Popen([BIN / "czuwak", "bench", "swarm", *words], stdout=subprocess.PIPE, text=True)
        seen, warm = watch(site, swarm, pid)
        out, _ = swarm.communicate()
        cost = process.cpu_seconds(pid) - warm[0]
        told = json.loads(out)
        memory = process.pss_mib(pid)
        owed = ledger.read((site.folder / "ledger").iterdir())
    samples = agents * series * (told["seconds"] - warm[1])
    late = sorted(seen[each.agent] - each.crossed for each in owed.episodes if each.agent in seen)
    heard = f"{told['sent']} batches sent, {told['acked']} acknowledged"
    cpu = f"{cost * 1e6 / samples:.2f} us CPU a sample, {memory:.0f} MiB PSS"
    p99 = late[min(len(late) - 1, int(len(late) * 0.99))]
    quantiles = f"p50 {statistics.median(late):.2f} s, p99 {p99:.2f} s"
    return [
        f"{agents} agents x {series} series each second over mTLS: {heard}",
        f"whole ingest process (TLS, head, default rules each second, tickets): {cpu}",
        f"connecting and warming up: {warm[0] - before:.1f} s CPU",
        f"crossing sent -> ticket committed: {len(late)} of {len(owed.episodes)}, {quantiles}",
    ]


def watch(site: Plant, swarm: "subprocess.Popen[str]", pid: int) -> tuple[dict[str, float], tuple[float, int]]:
    """When each host's ticket was first visible, and (CPU so far, rounds past) at a quarter of the run, as warm-up."""
    seen: dict[str, float] = {}
    began, warm = time.time(), None
    with sqlite3.connect(f"file:{site.folder}/czuwak.db?mode=ro", uri=True, timeout=5) as conn:
        while swarm.poll() is None:
            rows = conn.execute("select host from ticket where rule_name = 'BenchLevel'").fetchall()
            at = time.time()
            for (name,) in rows:
                seen.setdefault(name, at)
            if warm is None and at - began > 15:
                warm = (process.cpu_seconds(pid), int(at - began))
            time.sleep(0.01)
    conn.close()
    return seen, warm or (0.0, 0)
