"""What the network interfaces are and whether they are up, from /sys/class/net."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from agent.probes.errors import NoDataError
from agent.probes.files import optional
from agent.sample import Family, Kind, Sample, labels

UP = Family("node_network_up", Kind.GAUGE, "1 if the interface is up and can carry traffic.")
CARRIER = Family("node_network_carrier", Kind.GAUGE, "1 if a cable or radio link is there.")
CARRIER_CHANGES = Family("node_network_carrier_changes_total", Kind.COUNTER, "Times the link came or went.")
MTU = Family("node_network_mtu_bytes", Kind.GAUGE, "Largest packet the interface sends.")
SPEED = Family("node_network_speed_bytes", Kind.GAUGE, "Speed of the link, per second; absent where nobody knows it.")
QUEUE = Family("node_network_transmit_queue_length", Kind.GAUGE, "Packets that may wait to be sent.")
INFO = Family("node_network_info", Kind.GAUGE, "Always 1; its labels say what the interface is.")

_MEGABIT = 125_000
_IFF_UP = 1
_NUMBERS = ("carrier", "carrier_changes", "mtu", "speed", "tx_queue_len")
_WORDS = ("address", "broadcast", "duplex", "ifalias", "operstate", "flags")


@dataclass(frozen=True, slots=True)
class Link:
    """One interface: the files that have a number, and those that have a word, by file name; absent if unreadable."""

    device: str
    numbers: dict[str, float]
    words: dict[str, str]


def read(sysfs: Path, excluded: Callable[[str], bool]) -> tuple[Link, ...]:
    """Every interface of the namespace the agent is in."""
    folder = sysfs / "class/net"
    try:
        found = sorted(folder.iterdir())
    except FileNotFoundError:
        raise NoDataError(f"{folder} is not there") from None
    # Among the interfaces are files of drivers, such as bonding_masters.
    return tuple(_link(path) for path in found if not excluded(path.name) and path.is_dir())


def read_elsewhere(excluded: Callable[[str], bool]) -> tuple[Link, ...]:
    """Speed and packet size from psutil. Its `isup` means something else than node_network_up."""
    stats = psutil.net_if_stats()
    return tuple(
        Link(name, {"mtu": stat.mtu, "speed": stat.speed or -1}, {})
        for name, stat in stats.items()
        if not excluded(name)
    )


def samples(reading: tuple[Link, ...]) -> Iterator[Sample]:
    """Up to seven samples per interface."""
    for link in reading:
        own = labels(device=link.device)
        yield from _numbers(link.numbers, own)
        if "operstate" in link.words:
            yield Sample(UP, own, float(link.words["operstate"] == "up"))
            yield Sample(INFO, _described(link), 1.0)


def _numbers(numbers: dict[str, float], own: tuple[tuple[str, str], ...]) -> Iterator[Sample]:
    plain = ((CARRIER, "carrier"), (CARRIER_CHANGES, "carrier_changes"), (MTU, "mtu"), (QUEUE, "tx_queue_len"))
    for family, name in plain:
        if name in numbers:
            yield Sample(family, own, numbers[name])
    # -1 is a driver's way to say that it does not know.
    if numbers.get("speed", -1) >= 0:
        yield Sample(SPEED, own, numbers["speed"] * _MEGABIT)


def _described(link: Link) -> tuple[tuple[str, str], ...]:
    words = {name: link.words.get(name, "") for name in _WORDS if name != "flags"}
    return labels(device=link.device, adminstate=_adminstate(link.words.get("flags", "")), **words)


def _adminstate(flags: str) -> str:
    try:
        return "up" if int(flags, 16) & _IFF_UP else "down"
    except ValueError:
        return "unknown"


def _link(folder: Path) -> Link:
    words = {name: word for name in _WORDS if (word := optional(f"{folder}/{name}")) is not None}
    found = {name: _number(word) for name in _NUMBERS if (word := optional(f"{folder}/{name}")) is not None}
    return Link(folder.name, {name: value for name, value in found.items() if value is not None}, words)


def _number(word: str) -> float | None:
    try:
        return float(int(word))
    except (ValueError, OverflowError):
        return None
