"""Batteries, mains and small UPSes the kernel knows, from /sys/class/power_supply; no data on most servers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.probes.errors import NoDataError
from agent.probes.files import optional
from agent.sample import Family, Kind, Sample, labels

INFO = Family("node_power_supply_info", Kind.GAUGE, "Always 1; its labels say what the supply is and does.")

_MILLIONTH = 1e-6
# The kernel's file -> our family and what the file's number is multiplied by.
_VALUES = {
    "capacity": (Family("node_power_supply_capacity", Kind.GAUGE, "Charge in percent."), 1.0),
    "cycle_count": (Family("node_power_supply_cyclecount", Kind.GAUGE, "Times it was charged."), 1.0),
    "online": (Family("node_power_supply_online", Kind.GAUGE, "1 if it gives power."), 1.0),
    "present": (Family("node_power_supply_present", Kind.GAUGE, "1 if the battery is in place."), 1.0),
    "energy_now": (Family("node_power_supply_energy_watthour", Kind.GAUGE, "Energy in it now."), _MILLIONTH),
    "energy_full": (Family("node_power_supply_energy_full", Kind.GAUGE, "Watt-hours it can hold now."), _MILLIONTH),
    "energy_full_design": (
        Family("node_power_supply_energy_full_design", Kind.GAUGE, "Watt-hours it could hold when new."),
        _MILLIONTH,
    ),
    "charge_full": (Family("node_power_supply_charge_full", Kind.GAUGE, "Ampere-hours it can hold now."), _MILLIONTH),
    "charge_full_design": (
        Family("node_power_supply_charge_full_design", Kind.GAUGE, "Ampere-hours it could hold when new."),
        _MILLIONTH,
    ),
}
_WORDS = (
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "scope",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
)


@dataclass(frozen=True, slots=True)
class Supply:
    """One supply: the files that have a number and those that have a word, by file name; absent if unreadable."""

    name: str
    numbers: dict[str, float]
    words: dict[str, str]


def read(sysfs: Path) -> tuple[Supply, ...]:
    """Every supply. NoDataError where there is none."""
    try:
        folders = sorted((sysfs / "class/power_supply").iterdir())
    except OSError:
        folders = []
    if not folders:
        raise NoDataError("this host shows no power supplies")
    return tuple(_supply(folder) for folder in folders)


def samples(reading: tuple[Supply, ...]) -> Iterator[Sample]:
    """Up to ten gauges per supply."""
    for supply in reading:
        own = labels(power_supply=supply.name)
        for file, value in supply.numbers.items():
            family, unit = _VALUES[file]
            yield Sample(family, own, value * unit)
        yield Sample(INFO, labels(power_supply=supply.name, **supply.words), 1.0)


def _supply(folder: Path) -> Supply:
    words = {name: word for name in _WORDS if (word := optional(folder / name))}
    found = {name: _number(optional(folder / name) or "") for name in _VALUES}
    return Supply(folder.name, {name: value for name, value in found.items() if value is not None}, words)


def _number(text: str) -> float | None:
    try:
        return float(int(text))
    except ValueError:
        return None
