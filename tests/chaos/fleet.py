"""A whole fleet on one collector: what it costs, whether an evaluation is ever missed, how late a ticket is."""

import statistics
import time
from pathlib import Path

from tests.bench import process
from tests.chaos import ledger
from tests.chaos.g13 import FILES, PER_SECOND, connected
from tests.chaos.outcome import fewer, held, judged
from tests.chaos.postgres import Postgres
from tests.chaos.site import Site, sited

GOAL = "10,000 agents x 500 series / 15 s: <= 1.2 cores, <= 2 GB, 0 missed evaluations in 10 min, p99 <= 2 s"
WANTED, MINUTES = 10_000, 10.0
WARM = 30.0  # two rounds of everybody: the first registers every series
SETTLE = 120.0  # where arriving was too much for the machine, the levels of overload come down half a minute each


def run(
    budget_seconds: float, folder: Path, agents: int = WANTED, series: int = 500, minutes: int = 0, processes: int = 3
) -> list[str]:
    """Connect, warm up, then measure the ingest process alone; one agent in twenty crosses meanwhile.

    Once it is connected the swarm goes behind the collector where both want one of the machine's processors.
    """
    up_to = agents / PER_SECOND + 30.0
    begin = up_to + WARM + SETTLE
    room = minutes * 60.0 or max(60.0, min(MINUTES * 60, budget_seconds - begin - agents / 100 - 60))
    crossings = max(1, agents // 20)
    words = ("--crossings", str(crossings), "--cross-at", str(begin), "--cross-spread", str(room - 30))
    with Postgres() as cluster, sited(folder, url=cluster.url(), agents=agents, files=FILES, interval=15.0) as site:
        swarm, up = connected(site, series, processes, up_to, *words)
        pid = site.processes["ingest"].pid
        swarm.give_way()
        time.sleep(max(WARM, begin - up))
        level = site.metric("czuwak_collector_overload_level")
        began, cpu, missed, lag = time.monotonic(), process.cpu_seconds(pid), site.missed(), _lag(site)
        time.sleep(room)
        seconds = time.monotonic() - began
        cores = (process.cpu_seconds(pid) - cpu) / seconds
        missed, late, streams = site.missed() - missed, _quantiles(lag, _lag(site)), site.streams()
        memory, levels = process.pss_mib(pid), (level, site.metric("czuwak_collector_overload_level"))
        told = swarm.finish(300)
        verdicts = site.settled(held=False)
        opened = dict(ledger.opened(site.url_of_database, "BenchLevel"))
        crossed = [opened[each.agent] - each.crossed for each in site.owed().episodes if each.agent in opened]
    acks = f"swarm's ack p50 {told['ack_seconds']['p50']} s, p99 {told['ack_seconds']['p99']} s"
    tickets = f"crossing -> ticket p50 {_at(crossed, 0.5):.2f} s, p99 {_at(crossed, 0.99):.2f} s of {len(crossed)}"
    return [
        f"{streams} agents x {series} series / 15 s for {seconds / 60:.1f} min, default rules each second",
        f"level of overload {levels[0]:.0f} at the begin, {levels[1]:.0f} at the end (0: calm)",
        held(f"{cores:.2f} cores", cores <= 1.2),
        held(f"{memory:.0f} MiB PSS", memory <= 2048),
        held(f"{missed} missed evaluations", missed == 0),
        held(f"arrival -> commit p50 {late[0]:g} s, p99 <= {late[1]:g} s", late[1] <= 2.0),
        f"{tickets}; {acks}",
        f"swarm: {told['cpu_seconds'] / told['seconds']:.2f} cores, {told['reconnects']} reconnects, {told['nacks']}",
        *(judged(rule, verdict) for rule, verdict in verdicts.items()),
        *([fewer(f"{streams} agents instead of {WANTED}")] if streams < WANTED else []),
        *([fewer(f"{seconds / 60:.0f} minutes instead of {MINUTES:.0f}")] if seconds < MINUTES * 60 - 1 else []),
    ]


BUCKETS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.0", "2.5", "5.0", "+Inf")


def _lag(site: Site) -> dict[str, float]:
    """The collector's own histogram from a batch's append to its ack."""
    return {le: site.metric("czuwak_collector_ack_lag_seconds_bucket", le=le) for le in BUCKETS}


def _quantiles(before: dict[str, float], after: dict[str, float]) -> tuple[float, float]:
    """Upper bounds of the buckets in which the median and the 99th percentile of the time between lie."""
    grown = {le: after[le] - before[le] for le in BUCKETS}
    whole = grown["+Inf"]
    middle, high = (float(next(le for le in BUCKETS if grown[le] >= part * whole)) for part in (0.5, 0.99))
    return middle, high


def _at(delays: list[float], part: float) -> float:
    if len(delays) < 2:
        return delays[0] if delays else float("nan")
    return statistics.quantiles(delays, n=100, method="inclusive")[round(part * 100) - 1]
