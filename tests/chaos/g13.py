"""G13: the collector is restarted and everybody comes back at once."""

import signal
import time
from pathlib import Path

from tests.chaos.outcome import fewer, held, violated
from tests.chaos.postgres import Postgres
from tests.chaos.site import Site, Swarm, sited

GOAL = "10,000 agents back <= 120 s after a restart, 0 host-down tickets"
WANTED, LIMIT, OFFLINE = 10_000, 120.0, 90.0
PER_SECOND = 80  # agents of a swarm that connect; on two cores a swarm and the collector share them
FILES = '["default", "rules.yml"]'


def run(
    budget_seconds: float, folder: Path, agents: int = WANTED, series: int = 46, processes: int = 3, kill: int = 0
) -> list[str]:
    """With the default rules; `kill` instead of an orderly stop. Waits past the time at which silence would count."""
    with Postgres() as cluster, sited(folder, url=cluster.url(), agents=agents, files=FILES, interval=15.0) as site:
        swarm, up = connected(site, series, processes, budget_seconds / 2)
        before = site.streams()
        site.kill("ingest", signal.SIGKILL if kill else signal.SIGTERM)
        began = time.monotonic()
        ready = site.start("ingest")
        while (back := site.streams()) < before and time.monotonic() - began < 2 * LIMIT:
            time.sleep(0.5)
        took = time.monotonic() - began
        time.sleep(max(0.0, min(OFFLINE + 75.0, budget_seconds / 2) - took))
        counts = site.tickets_by_rule()
        told = swarm.finish(300)
    lines = [
        f"{before} of {agents} connected within {up:.0f} s; the restarted collector listened after {ready:.1f} s",
        held(f"{back} back after {took:.0f} s", back >= before and took <= LIMIT),
        f"ack p50 {told['ack_seconds']['p50']} s, p99 {told['ack_seconds']['p99']} s; {told['dropped']} dropped",
    ]
    lines += [violated(f"tickets: {counts}")] if counts else ["0 tickets"]
    return [*lines, *([fewer(f"{before} agents instead of {WANTED}")] if before < WANTED else [])]


def connected(
    site: Site, series: int, processes: int, patience: float, *words: str, first: int = 0, count: int = 0
) -> tuple[Swarm, float]:
    """A swarm that has come up, and how long that took; it goes on with fewer when the patience ends."""
    count = count or site.agents
    ramp, before, began = max(5.0, count / PER_SECOND), site.streams(), time.monotonic()
    swarm = site.swarm(
        *("--series", str(series), "--interval", "15", "--ramp", str(ramp), "--processes", str(processes)),
        *("--first", str(first), "--agents", str(count), *words),
    )
    while site.streams() < before + count and time.monotonic() - began < max(ramp + 30.0, patience):
        assert swarm.process.poll() is None, "the swarm ended"
        time.sleep(1.0)
    return swarm, time.monotonic() - began
