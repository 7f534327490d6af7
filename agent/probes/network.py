"""What went through the network interfaces, from /proc/net/dev with all of its columns."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from agent.probes.errors import MalformedError
from agent.probes.files import number, text
from agent.sample import Family, Kind, Sample, labels


def _counter(direction: str, column: str, sentence: str) -> Family:
    return Family(f"node_network_{direction}_{column}_total", Kind.COUNTER, sentence)


# In the order of the file.
FAMILIES = (
    _counter("receive", "bytes", "Bytes received."),
    _counter("receive", "packets", "Packets received."),
    _counter("receive", "errs", "Packets received broken."),
    _counter("receive", "drop", "Packets received and dropped for want of room."),
    _counter("receive", "fifo", "Packets lost because the card's buffer was full."),
    _counter("receive", "frame", "Packets received with a wrong frame."),
    _counter("receive", "compressed", "Compressed packets received."),
    _counter("receive", "multicast", "Packets received that were sent to a group."),
    _counter("transmit", "bytes", "Bytes sent."),
    _counter("transmit", "packets", "Packets sent."),
    _counter("transmit", "errs", "Packets that could not be sent."),
    _counter("transmit", "drop", "Packets dropped instead of sent."),
    _counter("transmit", "fifo", "Packets not sent because the card's buffer was full."),
    _counter("transmit", "colls", "Collisions while sending."),
    _counter("transmit", "carrier", "Packets not sent because the carrier was lost."),
    _counter("transmit", "compressed", "Compressed packets sent."),
)
_ELSEWHERE = (
    (FAMILIES[0], "bytes_recv"),
    (FAMILIES[1], "packets_recv"),
    (FAMILIES[2], "errin"),
    (FAMILIES[3], "dropin"),
    (FAMILIES[8], "bytes_sent"),
    (FAMILIES[9], "packets_sent"),
    (FAMILIES[10], "errout"),
    (FAMILIES[11], "dropout"),
)

Reading = dict[str, tuple[tuple[Family, float], ...]]


def read(procfs: Path, excluded: Callable[[str], bool]) -> Reading:
    """Counts by interface, of the network namespace the agent is in."""
    return {device: counts for device, counts in parse(text(procfs / "net/dev")).items() if not excluded(device)}


def read_elsewhere(excluded: Callable[[str], bool]) -> Reading:
    """What psutil knows on every system; it does not know which interface carries compressed packets or collides."""
    return {
        device: tuple((family, getattr(counts, field)) for family, field in _ELSEWHERE)
        for device, counts in psutil.net_io_counters(pernic=True).items()
        if not excluded(device)
    }


def parse(dev: str) -> Reading:
    """The lines of /proc/net/dev after its two head lines. MalformedError."""
    return dict(_device(line) for line in dev.splitlines()[2:])


def samples(reading: Reading) -> Iterator[Sample]:
    """One counter per interface and column."""
    for device, counts in reading.items():
        own = labels(device=device)
        for family, count in counts:
            yield Sample(family, own, count)


# An interface's name may hold a colon (an alias), its counts never do.
def _device(line: str) -> tuple[str, tuple[tuple[Family, float], ...]]:
    device, colon, rest = line.rpartition(":")
    words = rest.split()
    if not colon or len(words) != len(FAMILIES):
        raise MalformedError("net/dev", line)
    return device.strip(), tuple((f, number(word, "net/dev")) for f, word in zip(FAMILIES, words, strict=True))
