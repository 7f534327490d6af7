"""G24 on the collector's side: the database's disk fills up under load and gets room again."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.outcome import fewer, held, judged, violated
from tests.chaos.site import served, sited
from tests.smalldisk import filled, mounted

GOAL = "database's disk of 16 MiB full under load: 0 exits, recovers, nothing acknowledged is lost"
EVERY, HOLD = 20.0, 9.0
# Full for longer than an episode lasts, then shorter twice: some begin and end unseen, some outlast it.
FULL = (15.0, 6.0, 6.0)
REST = 3.0


def run(budget_seconds: float, folder: Path, agents: int = 50, cycles: int = 10, mib: int = 16) -> list[str]:
    """Fill it, let batches wait, make room; afterwards every obligation is discharged and a fresh event served."""
    if os.geteuid() != 0:
        return [fewer("nothing: mounting a tmpfs needs root")]
    recovered: list[float] = []
    with mounted(folder / "disk", mib) as mount:
        url = f"sqlite:///{mount}/czuwak.db"
        with sited(folder / "collector", url=url, agents=agents) as site:
            pid, began = site.processes["ingest"].pid, time.monotonic()
            swarm = site.swarm(
                *("--series", "46", "--interval", "1", "--ramp", "3", "--memory", "600"),
                *("--crossings", str(agents), "--cross-at", "3", "--cross-spread", str(EVERY)),
                *("--cross-hold", str(HOLD), "--cross-every", str(EVERY)),
            )
            time.sleep(6)
            while len(recovered) < cycles and time.monotonic() - began < budget_seconds - 60 - FULL[0]:
                room = filled(mount)
                time.sleep(FULL[len(recovered) % len(FULL)])
                room.unlink()
                recovered.append(_until_committed(site.metric))
                time.sleep(REST)
            healthy = time.time()
            fresh = served(site, healthy, agents, EVERY + HOLD + 30)
            told = swarm.finish()
            verdicts, same = site.settled(), site.processes["ingest"].poll() is None
    served_all = f"{fresh} of {agents} served a fresh event"
    counted = f"{told['acked']} batches acknowledged, {told['dropped']} dropped"
    lines = [
        f"{len(recovered)} times full for {min(FULL):g} to {max(FULL):g} s with {agents} agents: {counted}",
        held(f"commits again at most {max(recovered):.1f} s after there was room", max(recovered) <= 15.0),
        served_all if fresh == agents else violated(served_all),
        f"0 exits (process {pid})" if same else violated("the collector ended"),
    ]
    lines += [judged(rule, verdict) for rule, verdict in verdicts.items()]
    return [*lines, *([fewer(f"{len(recovered)} cycles instead of {cycles}")] if len(recovered) < cycles else [])]


def _until_committed(metric: Callable[[str], float]) -> float:
    """Seconds until a batch is acknowledged again: the evaluation that consumed it was committed."""
    began, before = time.monotonic(), metric("czuwak_collector_ack_lag_seconds_count")
    while metric("czuwak_collector_ack_lag_seconds_count") <= before and time.monotonic() - began < 120:
        time.sleep(0.2)
    return time.monotonic() - began
