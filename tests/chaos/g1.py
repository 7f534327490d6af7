"""G1: the collector is killed without warning again and again under load, on PostgreSQL."""

import random
import statistics
import time
from pathlib import Path

from tests.chaos import ledger
from tests.chaos.outcome import fewer, held, judged, violated
from tests.chaos.postgres import Postgres
from tests.chaos.site import served, sited

GOAL = "1,000 kills, 200 agents: 0 lost, 0 duplicate, 0 missing tickets, ready <= 3 s"
EVERY, HOLD = 24.0, 9.0
LAST_PHASE = EVERY + HOLD + 10.0


def run(budget_seconds: float, folder: Path, agents: int = 200, kills: int = 1000, seed: int = 1) -> list[str]:
    """Kill, start, let it work for a second or two, kill; a phase without faults discharges every obligation."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated, no secret
    ready: list[float] = []
    with Postgres() as cluster, sited(folder, url=cluster.url(), agents=agents) as site:
        began = time.monotonic()
        swarm = site.swarm(
            *("--series", "46", "--interval", "1", "--memory", "30", "--widest", "2", "--ramp", "3"),
            *("--crossings", str(agents), "--cross-at", "3", "--cross-spread", str(EVERY)),
            *("--cross-hold", str(HOLD), "--cross-every", str(EVERY)),
        )
        time.sleep(6)
        while len(ready) < kills and time.monotonic() - began < budget_seconds - LAST_PHASE - 30:
            site.kill("ingest")
            ready.append(site.start("ingest"))
            time.sleep(chance.uniform(1.0, 2.0))
        healthy = time.time()
        served(site, healthy, agents, LAST_PHASE)
        told = swarm.finish()
        verdicts = site.settled()
        fresh, lost = len(site.owed().fresh(healthy)), ledger.counted_lost(cluster.url())
    again = f"{told['replay_acked']} again, {told['reconnects']} reconnects, {told['dropped']} dropped, {lost} counted"
    shown = [
        f"{len(ready)} kills (seed {seed}), {agents} agents: {told['acked']} live batches acknowledged, {again}",
        f"ready p50 {statistics.median(ready):.2f} s, max {max(ready):.2f} s; {fresh} of {agents} served a fresh event",
    ]
    shown += [judged(rule, verdict) for rule, verdict in verdicts.items()]
    shown += [] if fresh == agents else [f"violated: only {fresh} of {agents} agents were served a fresh event"]
    shown += [violated(f"{lost} losses counted, {told['dropped']} dropped")] if lost > told["dropped"] else []
    shown += [held("ready within 3 s", max(ready) <= 3.0)]
    return [*shown, *([fewer(f"{len(ready)} kills instead of {kills}")] if len(ready) < kills else [])]
