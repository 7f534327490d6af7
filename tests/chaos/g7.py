"""G7: PostgreSQL is stopped at once, or the collector's connections to it are cut at a random byte, under load."""

import random
import time
from contextlib import closing
from pathlib import Path

import psycopg

from tests.chaos.outcome import fewer, held, judged, violated
from tests.chaos.postgres import Postgres
from tests.chaos.proxy import Proxy
from tests.chaos.site import served, sited

GOAL = "200 cycles: 0 lost, 0 duplicate, recovered <= 5 s"
EVERY, HOLD = 24.0, 9.0
LAST_PHASE = EVERY + HOLD + 10.0
RECOVERED = 5.0


def run(budget_seconds: float, folder: Path, agents: int = 50, cycles: int = 50, seed: int = 1) -> list[str]:
    """Break, wait a moment, heal, wait until something is committed again; at the end a phase without faults."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated, no secret
    took: list[float] = []
    stops = 0
    with Postgres() as cluster, Proxy(cluster.port) as proxy:
        url = cluster.url(proxy.port)
        with sited(folder, url=url, agents=agents) as site:
            began = time.monotonic()
            swarm = site.swarm(
                *("--series", "46", "--interval", "1", "--memory", "60", "--widest", "2", "--ramp", "3"),
                *("--crossings", str(agents), "--cross-at", "3", "--cross-spread", str(EVERY)),
                *("--cross-hold", str(HOLD), "--cross-every", str(EVERY)),
            )
            time.sleep(6)
            while len(took) < cycles and time.monotonic() - began < budget_seconds - LAST_PHASE - 30:
                stops += _broken(cluster, proxy, chance)
                took.append(_recovered(cluster))
                time.sleep(chance.uniform(0.5, 1.5))
            healthy = time.time()
            fresh = served(site, healthy, agents, LAST_PHASE)
            swarm.finish()
            verdicts = site.settled()
    lines = [f"{len(took)} cycles (seed {seed}), {agents} agents: {stops} stops, {len(took) - stops} cuts"]
    lines += [held(f"recovered within {max(took):.1f} s", max(took) <= RECOVERED)]
    lines += [judged(rule, verdict) for rule, verdict in verdicts.items()]
    lines += [] if fresh >= agents else [violated(f"only {fresh} of {agents} agents were served a fresh event")]
    return [*lines, *([fewer(f"{len(took)} cycles instead of {cycles}")] if len(took) < cycles else [])]


def _broken(cluster: Postgres, proxy: Proxy, chance: random.Random) -> bool:
    """One fault, and it is over when this returns; whether the server was stopped."""
    if chance.random() < 0.3:
        cluster.stop("immediate")
        time.sleep(chance.uniform(0.0, 1.0))
        cluster.start()
        return True
    way = "up" if chance.random() < 0.5 else "down"
    for connection in proxy.connections():
        byte = chance.randrange(1, 6000)
        if way == "up":
            proxy.cut(up=byte, connection=connection)
        else:
            proxy.cut(down=byte, connection=connection)
    time.sleep(chance.uniform(0.5, 2.0))
    proxy.heal()
    return False


def _recovered(cluster: Postgres) -> float:
    """Seconds until the collector writes again what it sees."""
    began, since = time.monotonic(), time.time()
    with closing(psycopg.connect(cluster.url(), autocommit=True)) as conn:
        while time.monotonic() - began < 60:
            found = conn.execute("select max(last_seen) from host").fetchone()
            if found and found[0] and found[0] > since:
                break
            time.sleep(0.05)
    return time.monotonic() - began
