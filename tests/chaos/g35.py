"""G35: an hour of ordinary life with two thousand agents: what grows that should not."""

import statistics
import time
from pathlib import Path

from tests.bench import process
from tests.chaos.g13 import FILES, connected
from tests.chaos.outcome import fewer, held, judged
from tests.chaos.postgres import Postgres
from tests.chaos.site import sited

GOAL = "60 min with 2,000 agents: memory slope <= 1 MB/h, descriptors flat"
WANTED, MINUTES = 2000, 60.0
LOOK = 10.0
# What no rule looks at is kept for an hour in blocks that come with it: before that, growth is filling up.
WARM = 0.5  # part of the run


def run(
    budget_seconds: float, folder: Path, agents: int = WANTED, series: int = 100, minutes: int = 0, processes: int = 2
) -> list[str]:
    """Memory and descriptors every ten seconds; the slope is Theil and Sen's over the second half."""
    room = minutes * 60.0 or max(60.0, min(MINUTES * 60, budget_seconds - agents / 60 - 60))
    cross = ("--cross-at", "60", "--cross-spread", "300", "--cross-hold", "20", "--cross-every", "300")
    with Postgres() as cluster, sited(folder, url=cluster.url(), agents=agents, files=FILES, interval=15.0) as site:
        crossings = ("--crossings", str(max(1, agents // 20)))
        swarm, _ = connected(site, series, processes, room / 4, *crossings, *cross)
        pid, began = site.processes["ingest"].pid, time.monotonic()
        memory: list[tuple[float, float]] = []
        files: list[int] = []
        while (at := time.monotonic() - began) < room:
            if at >= WARM * room:
                memory.append((at / 3600, process.pss_mib(pid)))
                files.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
            time.sleep(min(LOOK, room / 30))
        streams = site.streams()
        told = swarm.finish(300)
        verdicts = site.settled(held=False)
    slope = _slope(memory)
    return [
        f"{streams} agents x {series} series / 15 s for {room / 60:.0f} min: {told['acked']} batches acknowledged",
        held(f"{memory[-1][1]:.0f} MiB PSS, {slope:+.1f} MiB/h over the second half", slope <= 1.0),
        held(f"{files[0]} descriptors, then {files[-1]}", files[-1] <= files[0] + 5),
        *(judged(rule, verdict) for rule, verdict in verdicts.items()),
        *([fewer(f"{streams} agents instead of {WANTED}")] if streams < WANTED else []),
        *([fewer(f"{room / 60:.0f} minutes instead of {MINUTES:.0f}")] if room < MINUTES * 60 else []),
    ]


def _slope(points: list[tuple[float, float]]) -> float:
    """The median of all pairs' slopes: one collection of garbage at the end does not decide it."""
    pairs = [(b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(points) for b in points[i + 1 :]]
    return statistics.median(pairs) if pairs else 0.0
