"""G24 on the collector's side: the database's disk fills up under load and gets room again."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.outcome import fewer, held, judged, violated
from tests.chaos.site import served, sited

GOAL = "database's disk of 16 MiB full under load: 0 exits, recovers, nothing acknowledged is lost"
EVERY, HOLD = 20.0, 9.0


def run(
    budget_seconds: float, folder: Path, agents: int = 50, cycles: int = 10, full: float = 15.0, mib: int = 16
) -> list[str]:
    """Fill it, let batches wait, make room; afterwards every obligation is discharged and a fresh event served."""
    if os.geteuid() != 0:
        return [fewer("nothing: mounting a tmpfs needs root")]
    recovered: list[float] = []
    with disk(folder / "disk", mib) as mount:
        url = f"sqlite:///{mount}/czuwak.db"
        with sited(folder / "collector", url=url, agents=agents) as site:
            pid, began = site.processes["ingest"].pid, time.monotonic()
            swarm = site.swarm(
                *("--series", "46", "--interval", "1", "--ramp", "3", "--memory", "600"),
                *("--crossings", str(agents), "--cross-at", "3", "--cross-spread", str(EVERY)),
                *("--cross-hold", str(HOLD), "--cross-every", str(EVERY)),
            )
            time.sleep(6)
            while len(recovered) < cycles and time.monotonic() - began < budget_seconds - 60 - full:
                room = filled(mount)
                time.sleep(full)
                room.unlink()
                recovered.append(_until_committed(site.metric))
                time.sleep(5)
            healthy = time.time()
            fresh = served(site, healthy, agents, EVERY + HOLD + 30)
            told = swarm.finish()
            verdicts, same = site.settled(), site.processes["ingest"].poll() is None
    served_all = f"{fresh} of {agents} served a fresh event"
    counted = f"{told['acked']} batches acknowledged, {told['dropped']} dropped"
    lines = [
        f"{len(recovered)} times full for {full:g} s with {agents} agents: {counted}",
        held(f"commits again at most {max(recovered):.1f} s after there was room", max(recovered) <= 15.0),
        served_all if fresh == agents else violated(served_all),
        f"0 exits (process {pid})" if same else violated("the collector ended"),
    ]
    lines += [judged(rule, verdict) for rule, verdict in verdicts.items()]
    return [*lines, *([fewer(f"{len(recovered)} cycles instead of {cycles}")] if len(recovered) < cycles else [])]


@contextmanager
def disk(mount: Path, mib: int) -> Iterator[Path]:
    """A small file system."""
    mount.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


def filled(mount: Path) -> Path:
    """Takes every byte that is left."""
    path = mount / "fill"
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return path


def _until_committed(metric: Callable[[str], float]) -> float:
    """Seconds until a batch is acknowledged again: the evaluation that consumed it was committed."""
    began, before = time.monotonic(), metric("czuwak_collector_ack_lag_seconds_count")
    while metric("czuwak_collector_ack_lag_seconds_count") <= before and time.monotonic() - began < 120:
        time.sleep(0.2)
    return time.monotonic() - began
