"""How long work waited for a resource, from /proc/pressure; a better sign of saturation than the load average."""

from collections.abc import Iterator
from pathlib import Path

from agent.probes.errors import MalformedError, NoDataError
from agent.probes.files import number, text
from agent.sample import Family, Kind, Sample

_WAITING = "Seconds in which some tasks waited for {}."
_STALLED = "Seconds in which no task could go on for want of {}."


def _family(resource: str, how: str, sentence: str, noun: str) -> Family:
    return Family(f"node_pressure_{resource}_{how}_seconds_total", Kind.COUNTER, sentence.format(noun))


# `full` of the processor is zero by definition on the host's level, and interrupts have no `some`.
FAMILIES = {
    ("cpu", "some"): _family("cpu", "waiting", _WAITING, "a processor"),
    ("io", "some"): _family("io", "waiting", _WAITING, "a disk"),
    ("io", "full"): _family("io", "stalled", _STALLED, "a disk"),
    ("memory", "some"): _family("memory", "waiting", _WAITING, "memory"),
    ("memory", "full"): _family("memory", "stalled", _STALLED, "memory"),
    ("irq", "full"): _family("irq", "stalled", _STALLED, "a processor that served interrupts"),
}
_RESOURCES = ("cpu", "io", "memory", "irq")


def read(procfs: Path) -> dict[tuple[str, str], float]:
    """Seconds by resource and share (some, full). NoDataError where the kernel does not account pressure."""
    found: dict[tuple[str, str], float] = {}
    for resource in _RESOURCES:
        try:
            lines = text(procfs / "pressure" / resource)
        except NoDataError:
            continue
        found |= {(resource, share): seconds for share, seconds in parse(lines).items()}
    if not found:
        raise NoDataError("this kernel does not account pressure")
    return found


def parse(lines: str) -> dict[str, float]:
    """`some avg10=0.00 … total=1500000` -> {"some": 1.5}. MalformedError."""
    found = {}
    for line in lines.splitlines():
        share, _, rest = line.partition(" ")
        _, total, micros = rest.rpartition("total=")
        if not total:
            raise MalformedError("pressure", line)
        found[share] = number(micros, "pressure") / 1e6
    return found


def samples(reading: dict[tuple[str, str], float]) -> Iterator[Sample]:
    """One counter per resource and share that node_exporter shows."""
    return (Sample(FAMILIES[key], (), seconds) for key, seconds in reading.items() if key in FAMILIES)
