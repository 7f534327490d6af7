"""What the kernel counted since it started (switches, interrupts, forks), tasks that run or wait, when it started."""

from collections.abc import Iterator
from pathlib import Path

import psutil

from agent.probes.errors import MalformedError
from agent.probes.files import number, text
from agent.sample import Family, Kind, Sample

BOOT_TIME = Family("node_boot_time_seconds", Kind.GAUGE, "When the host started, in Unix time.")
CONTEXT_SWITCHES = Family("node_context_switches_total", Kind.COUNTER, "Switches from one task to another.")
FORKS = Family("node_forks_total", Kind.COUNTER, "Processes and threads started.")
INTERRUPTS = Family("node_intr_total", Kind.COUNTER, "Interrupts served.")
BLOCKED = Family("node_procs_blocked", Kind.GAUGE, "Tasks that wait for input or output to finish.")
RUNNING = Family("node_procs_running", Kind.GAUGE, "Tasks that run or could run.")

_FAMILIES = {
    "btime": BOOT_TIME,
    "ctxt": CONTEXT_SWITCHES,
    "processes": FORKS,
    "intr": INTERRUPTS,
    "procs_blocked": BLOCKED,
    "procs_running": RUNNING,
}


def read(procfs: Path) -> dict[Family, float]:
    """The kernel's counts from /proc/stat."""
    return parse(text(procfs / "stat"))


def read_elsewhere() -> dict[Family, float]:
    """What psutil knows on every system."""
    stats = psutil.cpu_stats()
    return {BOOT_TIME: psutil.boot_time(), CONTEXT_SWITCHES: stats.ctx_switches, INTERRUPTS: stats.interrupts}


def parse(stat: str) -> dict[Family, float]:
    """The counts among the lines of /proc/stat; of `intr` only the first number, the sum. MalformedError."""
    found: dict[Family, float] = {}
    for line in stat.splitlines():
        key, _, rest = line.partition(" ")
        family = _FAMILIES.get(key)
        if family is not None:
            found[family] = _first(rest, line)
    return found


def samples(reading: dict[Family, float]) -> Iterator[Sample]:
    """One sample per count."""
    for family, value in reading.items():
        yield Sample(family, (), value)


def _first(rest: str, line: str) -> float:
    words = rest.split(None, 1)
    if not words:
        raise MalformedError("stat", line)
    return number(words[0], "stat")
