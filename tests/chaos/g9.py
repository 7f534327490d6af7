"""G9: a day without the collector, then everything is sent again while life goes on."""

import time
from pathlib import Path

from tests.chaos.outcome import fewer, held, judged, violated
from tests.chaos.postgres import Postgres
from tests.chaos.site import sited

GOAL = "200 agents x 5,760 batches in <= 10 min, 0 stale tickets, live p99 <= 2 s meanwhile"
INTERVAL, DAY = 15.0, 5760
LIMIT = 600.0


def run(
    budget_seconds: float, folder: Path, agents: int = 200, batches: int = 0, series: int = 150, interval: float = 15.0
) -> list[str]:
    """A quarter crossed long ago and came back, another still burns; the rest was quiet. Live rounds never stop."""
    room = max(30.0, min(LIMIT, budget_seconds - 60))
    whole = batches or DAY
    batches = batches or min(DAY, int(DAY * room / LIMIT))
    quarter = max(1, agents // 4)
    due = agents * (batches - 1)  # the newest round of each is news, not history
    with Postgres() as cluster, sited(folder, url=cluster.url(), agents=agents, interval=interval) as site:
        began = time.monotonic()
        swarm = site.swarm(
            *("--series", str(series), "--interval", str(interval), "--backlog", str(batches), "--ramp", "5"),
            *("--crossings", str(quarter), "--stale", str(quarter)),
        )
        while (done := site.metric("czuwak_collector_batches_total", result="replayed")) < due:
            if time.monotonic() - began > room:
                break
            time.sleep(1.0)
        took = time.monotonic() - began
        time.sleep(2 * interval)  # everybody is at the live edge now
        told = swarm.finish(300)
        verdicts = site.settled(held=False)
        counts = site.tickets_by_rule()
    quick = held(f"replayed {done:.0f} of {due} batches in {took:.0f} s", done >= due)
    p99 = told["ack_seconds"]["p99"] or 0.0
    lines = [quick, held(f"live p50 {told['ack_seconds']['p50']} s, p99 {p99} s meanwhile", p99 <= 2.0)]
    lines += [judged(rule, verdict) for rule, verdict in verdicts.items()]
    wrong = counts.get("BenchLevel", 0) - quarter
    lines += [violated(f"{counts.get('BenchLevel', 0)} tickets, {quarter} conditions are still true")] if wrong else []
    lines += [violated(f"{told['dropped']} batches dropped")] if told["dropped"] else []
    return [*lines, *([fewer(f"{batches} batches each instead of {whole}")] if batches < whole else [])]
