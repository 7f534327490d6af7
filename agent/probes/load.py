"""The three load averages. Windows has none: psutil makes them up there, so the probe gives no data."""

import os
from collections.abc import Iterator
from pathlib import Path

from agent.probes.errors import MalformedError, NoDataError
from agent.probes.files import number, text
from agent.sample import Family, Kind, Sample

LOADS = (
    Family("node_load1", Kind.GAUGE, "Load average over 1 minute."),
    Family("node_load5", Kind.GAUGE, "Load average over 5 minutes."),
    Family("node_load15", Kind.GAUGE, "Load average over 15 minutes."),
)


def read(procfs: Path) -> tuple[float, float, float]:
    """From /proc/loadavg, which a container's own view replaces; getloadavg() would tell the machine's below it."""
    return parse(text(procfs / "loadavg"))


def read_elsewhere() -> tuple[float, float, float]:
    """From the system's own call where it has one."""
    if not hasattr(os, "getloadavg"):
        raise NoDataError("this system has no load average")
    return os.getloadavg()


def parse(loadavg: str) -> tuple[float, float, float]:
    """The first three numbers of /proc/loadavg. MalformedError."""
    words = loadavg.split()
    if len(words) < 3:
        raise MalformedError("loadavg", loadavg)
    one, five, fifteen = (number(word, "loadavg") for word in words[:3])
    return one, five, fifteen


def samples(reading: tuple[float, float, float]) -> Iterator[Sample]:
    """Three samples."""
    return (Sample(family, (), value) for family, value in zip(LOADS, reading, strict=True))
