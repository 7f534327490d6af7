"""Network interfaces bound together: how many each has and how many of them carry, from /sys/class/net."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.probes.errors import NoDataError
from agent.probes.files import optional, text
from agent.sample import Family, Kind, Sample, labels

SLAVES = Family("node_bonding_slaves", Kind.GAUGE, "Interfaces bound together in this one.")
ACTIVE = Family("node_bonding_active", Kind.GAUGE, "Of those, interfaces that are up.")


@dataclass(frozen=True, slots=True)
class Bond:
    """One bond and the state the kernel sees each of its interfaces in."""

    master: str
    states: tuple[str, ...]


def read(sysfs: Path) -> tuple[Bond, ...]:
    """Every bond. NoDataError where the kernel's module is not loaded or has none."""
    folder = sysfs / "class/net"
    masters = text(folder / "bonding_masters").split()
    bonds = tuple(_bond(folder / master) for master in masters if (folder / master / "bonding").is_dir())
    if not bonds:
        raise NoDataError("no interfaces are bound together")
    return bonds


def samples(reading: tuple[Bond, ...]) -> Iterator[Sample]:
    """Two gauges per bond."""
    for bond in reading:
        own = labels(master=bond.master)
        yield Sample(SLAVES, own, float(len(bond.states)))
        yield Sample(ACTIVE, own, float(bond.states.count("up")))


def _bond(folder: Path) -> Bond:
    slaves = text(folder / "bonding/slaves").split()
    return Bond(folder.name, tuple(_state(folder, slave) for slave in slaves))


# Older kernels have the second name. An interface that was taken out meanwhile is not up.
def _state(folder: Path, slave: str) -> str:
    for link in (f"lower_{slave}", f"slave_{slave}"):
        if (state := optional(folder / link / "bonding_slave/mii_status")) is not None:
            return state
    return ""
