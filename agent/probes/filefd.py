"""Open file descriptors of the whole host, from /proc/sys/fs/file-nr."""

from collections.abc import Iterator
from pathlib import Path

from agent.probes.errors import MalformedError
from agent.probes.files import number, text
from agent.sample import Family, Kind, Sample

ALLOCATED = Family("node_filefd_allocated", Kind.GAUGE, "File descriptors in use on the host.")
MAXIMUM = Family("node_filefd_maximum", Kind.GAUGE, "File descriptors the host may have in use.")


def read(procfs: Path) -> tuple[float, float]:
    """In use and maximum."""
    return parse(text(procfs / "sys/fs/file-nr"))


def parse(file_nr: str) -> tuple[float, float]:
    """Three numbers: in use, unused, maximum. MalformedError."""
    words = file_nr.split()
    if len(words) != 3:
        raise MalformedError("file-nr", file_nr)
    return number(words[0], "file-nr"), number(words[2], "file-nr")


def samples(reading: tuple[float, float]) -> Iterator[Sample]:
    """Two gauges."""
    allocated, maximum = reading
    yield Sample(ALLOCATED, (), allocated)
    yield Sample(MAXIMUM, (), maximum)
