"""G14: half of a site vanishes in one moment."""

import time
from pathlib import Path

from tests.chaos.g13 import FILES, connected
from tests.chaos.outcome import fewer, held, violated
from tests.chaos.postgres import Postgres
from tests.chaos.site import sited

GOAL = "5,000 of 10,000 hosts vanish together: 1 mass ticket <= 120 s, 0 of single hosts"
WANTED, LIMIT, OFFLINE = 10_000, 120.0, 90.0
AFTER = 75.0  # seconds watched after the first ticket


def run(
    budget_seconds: float, folder: Path, agents: int = WANTED, series: int = 46, offline: float = OFFLINE
) -> list[str]:
    """One swarm stays, the other is killed; the tickets are counted until nothing more can come."""
    half = agents // 2
    with Postgres() as cluster:
        url = cluster.url()
        with sited(folder, url=url, agents=agents, files=FILES, interval=15.0, offline=offline) as site:
            connected(site, series, 2, budget_seconds / 4, count=half)
            gone, _ = connected(site, series, 2, budget_seconds / 4, first=half, count=half)
            before = site.streams()
            time.sleep(20)  # everybody is online by their first fresh sample
            gone.vanish()
            began, first = time.monotonic(), None
            while time.monotonic() - began < LIMIT + offline:
                if first is None and site.tickets_by_rule():
                    first = time.monotonic() - began
                if first is not None and time.monotonic() - began > first + AFTER:
                    break
                time.sleep(1.0)
            counts, stayed = site.tickets_by_rule(), site.streams()
    lines = [f"{before} of {agents} connected, {stayed} stayed"]
    lines += [held(f"first ticket after {first:.0f} s" if first else "no ticket", first is not None and first <= LIMIT)]
    lines += [f"tickets {counts}" if sum(counts.values()) == 1 else violated(f"tickets {counts} instead of one")]
    return [*lines, *([fewer(f"{half} of {before} instead of 5,000 of {WANTED}")] if before < WANTED else [])]
