"""Paging, page faults and killings for want of memory, from /proc/vmstat."""

from collections.abc import Iterator
from pathlib import Path

from agent.probes.errors import MalformedError
from agent.probes.files import number, text
from agent.sample import Family, Kind, Sample

_HELP = {
    "oom_kill": "Processes the kernel killed because memory ran out.",
    "pgfault": "Page faults.",
    "pgmajfault": "Page faults that had to read from a disk.",
    "pgpgin": "KiB read in from block devices.",
    "pgpgout": "KiB written out to block devices.",
    "pswpin": "Pages read in from swap.",
    "pswpout": "Pages written out to swap.",
}
FAMILIES = {field: Family(f"node_vmstat_{field}", Kind.GAUGE, text, untyped=True) for field, text in _HELP.items()}


def read(procfs: Path) -> dict[str, float]:
    """The fields of interest of /proc/vmstat."""
    return parse(text(procfs / "vmstat"))


def parse(vmstat: str) -> dict[str, float]:
    """`name number` lines; a field this kernel does not write is absent. MalformedError."""
    found = {}
    for line in vmstat.splitlines():
        key, _, value = line.partition(" ")
        if key in FAMILIES:
            found[key] = number(value, "vmstat")
    if not found:
        raise MalformedError("vmstat", vmstat)
    return found


def samples(reading: dict[str, float]) -> Iterator[Sample]:
    """One sample per field."""
    return (Sample(FAMILIES[field], (), value) for field, value in reading.items())
