"""G10: the network between agents and collector breaks in every way a proxy can break it."""

import random
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.outcome import fewer, judged, violated
from tests.chaos.postgres import Postgres
from tests.chaos.proxy import Proxy
from tests.chaos.site import served, sited

GOAL = "100 random faults between agents and collector: 0 lost, 0 duplicate, 0 missing tickets"
EVERY, HOLD = 24.0, 9.0
LAST_PHASE = EVERY + HOLD + 60.0  # half-open connections are found out by the keepalive


def run(budget_seconds: float, folder: Path, agents: int = 100, faults: int = 100, seed: int = 1) -> list[str]:
    """One fault after the other, each for some seconds and healed for some; all connections share it."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated, no secret
    done: dict[str, int] = {}
    with (
        Postgres() as cluster,
        sited(folder, url=cluster.url(), agents=agents) as site,
        Proxy(site.ports["ingest"]) as proxy,
    ):
        began = time.monotonic()
        swarm = site.swarm(
            *("--series", "46", "--interval", "1", "--memory", "300", "--widest", "4", "--ramp", "3"),
            *("--crossings", str(agents), "--cross-at", "3", "--cross-spread", str(EVERY)),
            *("--cross-hold", str(HOLD), "--cross-every", str(EVERY)),
            target=f"127.0.0.1:{proxy.port}",
        )
        time.sleep(8)
        while sum(done.values()) < faults and time.monotonic() - began < budget_seconds - LAST_PHASE - 60:
            name, strike = chance.choice(_kinds(proxy, chance))
            strike()
            done[name] = done.get(name, 0) + 1
            time.sleep(chance.uniform(0.5, 8.0))
            proxy.heal()
            time.sleep(chance.uniform(1.0, 6.0))
        healthy = time.time()
        fresh = served(site, healthy, agents, LAST_PHASE)
        told = swarm.finish(180)
        verdicts = site.settled()
    count = sum(done.values())
    counted = f"{told['acked']} live batches acknowledged, {told['replay_acked']} again, {told['dropped']} dropped"
    everybody = f"{fresh} of {agents} served a fresh event"
    lines = [
        f"{count} faults (seed {seed}: {done}), {agents} agents: {counted}, ends {told['ends']}",
        everybody if fresh == agents else violated(everybody),
        *(judged(rule, verdict) for rule, verdict in verdicts.items()),
    ]
    return [*lines, *([fewer(f"{count} faults instead of {faults}")] if count < faults else [])]


def _kinds(proxy: Proxy, chance: random.Random) -> tuple[tuple[str, Callable[[], None]], ...]:
    seconds, bytes_ = chance.uniform(0.05, 1.5), chance.randrange(20_000)
    return (
        ("delay", lambda: proxy.delay(seconds)),
        ("stall", proxy.stall),
        ("half open", proxy.half_open),
        ("cut up", lambda: proxy.cut(up=bytes_)),
        ("cut down", lambda: proxy.cut(down=bytes_ // 10)),
        ("reset", proxy.drop),
        ("refuse", lambda: _gone(proxy)),
    )


def _gone(proxy: Proxy) -> None:
    proxy.refuse()
    proxy.drop()
