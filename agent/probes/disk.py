"""What block devices did, from /proc/diskstats; psutil, which leaves out half of it, serves other systems."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from agent.probes.errors import MalformedError
from agent.probes.files import number, text
from agent.sample import Family, Kind, Sample, labels

# How many of the file's unit make one of ours.
_SECTORS = 1 / 512
_MILLIS = 1000


@dataclass(frozen=True, slots=True)
class _Column:
    family: Family
    per: float = 1


def _counter(name: str, sentence: str, per: float = 1) -> _Column:
    return _Column(Family(f"node_disk_{name}_total", Kind.COUNTER, sentence), per)


# In the order of the file, after major, minor and name. Old kernels write the first 11 or 15 only.
COLUMNS = (
    _counter("reads_completed", "Reads done."),
    _counter("reads_merged", "Reads joined with a neighbour before they were done."),
    _counter("read_bytes", "Bytes read.", _SECTORS),
    _counter("read_time_seconds", "Seconds all reads took together.", _MILLIS),
    _counter("writes_completed", "Writes done."),
    _counter("writes_merged", "Writes joined with a neighbour before they were done."),
    _counter("written_bytes", "Bytes written.", _SECTORS),
    _counter("write_time_seconds", "Seconds all writes took together.", _MILLIS),
    _Column(Family("node_disk_io_now", Kind.GAUGE, "Requests under way now.")),
    _counter("io_time_seconds", "Seconds with at least one request under way.", _MILLIS),
    _counter("io_time_weighted_seconds", "Seconds of every request under way, added up.", _MILLIS),
    _counter("discards_completed", "Discards done."),
    _counter("discards_merged", "Discards joined with a neighbour before they were done."),
    _counter("discarded_sectors", "Sectors discarded."),
    _counter("discard_time_seconds", "Seconds all discards took together.", _MILLIS),
    _counter("flush_requests", "Flushes done."),
    _counter("flush_requests_time_seconds", "Seconds all flushes took together.", _MILLIS),
)
_ELSEWHERE = (
    (COLUMNS[0].family, "read_count", 1),
    (COLUMNS[2].family, "read_bytes", 1),
    (COLUMNS[3].family, "read_time", _MILLIS),
    (COLUMNS[4].family, "write_count", 1),
    (COLUMNS[6].family, "write_bytes", 1),
    (COLUMNS[7].family, "write_time", _MILLIS),
)

Reading = dict[str, tuple[tuple[Family, float], ...]]


def read(procfs: Path, excluded: Callable[[str], bool]) -> Reading:
    """Values in base units by device."""
    return {device: values for device, values in parse(text(procfs / "diskstats")).items() if not excluded(device)}


def read_elsewhere(excluded: Callable[[str], bool]) -> Reading:
    """What psutil knows on every system."""
    disks = psutil.disk_io_counters(perdisk=True)
    return {
        device: tuple((family, getattr(counts, field) / per) for family, field, per in _ELSEWHERE)
        for device, counts in disks.items()
        if not excluded(device)
    }


def parse(diskstats: str) -> Reading:
    """The lines of /proc/diskstats; columns of a newer kernel are not looked at. MalformedError."""
    return dict(_device(line) for line in diskstats.splitlines() if line.strip())


def samples(reading: Reading) -> Iterator[Sample]:
    """One sample per device and column."""
    for device, values in reading.items():
        own = labels(device=device)
        for family, value in values:
            yield Sample(family, own, value)


def _device(line: str) -> tuple[str, tuple[tuple[Family, float], ...]]:
    words = line.split()
    if len(words) < 14:
        raise MalformedError("diskstats", line)
    values = zip(COLUMNS, words[3:], strict=False)
    return words[2], tuple((c.family, number(word, "diskstats") / c.per) for c, word in values)
