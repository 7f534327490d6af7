"""Temperatures of the hardware and their limits, from /sys/class/hwmon; no data on most virtual machines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.probes.errors import NoDataError
from agent.probes.files import optional
from agent.sample import Family, Kind, Sample, labels

CHIP = Family("node_hwmon_chip_names", Kind.GAUGE, "Always 1; its labels say what the chip calls itself.")
LABEL = Family("node_hwmon_sensor_label", Kind.GAUGE, "Always 1; its labels say what the sensor is for.")

_THOUSANDTH = 0.001  # the kernel writes thousandths of a degree
_VALUES = {
    "input": (Family("node_hwmon_temp_celsius", Kind.GAUGE, "Temperature."), _THOUSANDTH),
    "max": (Family("node_hwmon_temp_max_celsius", Kind.GAUGE, "Temperature the maker calls high."), _THOUSANDTH),
    "crit": (Family("node_hwmon_temp_crit_celsius", Kind.GAUGE, "Temperature the maker calls critical."), _THOUSANDTH),
    "alarm": (Family("node_hwmon_temp_alarm", Kind.GAUGE, "1 if the chip itself says that it is too hot."), 1.0),
}
_FILE = re.compile(rf"temp(\d+)_({'|'.join(_VALUES)}|label)")
_ODD = re.compile(r"[^a-z0-9:_]")


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip: a name that stays the same over restarts, what it calls itself, and (sensor, file) -> text."""

    chip: str
    name: str
    files: dict[tuple[str, str], str]


def read(sysfs: Path) -> tuple[Chip, ...]:
    """Every chip that has a thermometer. NoDataError where there is none."""
    try:
        folders = sorted((sysfs / "class/hwmon").iterdir())
    except OSError:
        folders = []
    chips = tuple(chip for folder in folders if (chip := _chip(folder)).files)
    if not chips:
        raise NoDataError("this host shows no thermometers")
    return chips


def samples(reading: tuple[Chip, ...]) -> Iterator[Sample]:
    """Up to five samples per thermometer; a value that is no number is left out."""
    for chip in reading:
        if chip.name:
            yield Sample(CHIP, labels(chip=chip.chip, chip_name=chip.name), 1.0)
        for (sensor, file), text in chip.files.items():
            if file == "label":
                yield Sample(LABEL, labels(chip=chip.chip, label=text, sensor=sensor), 1.0)
            elif (value := _number(text)) is not None:
                family, unit = _VALUES[file]
                yield Sample(family, labels(chip=chip.chip, sensor=sensor), value * unit)


def _chip(folder: Path) -> Chip:
    name = _clean(optional(folder / "name") or "")
    files: dict[tuple[str, str], str] = {}
    # Old drivers keep their files with the device.
    for place in (folder / "device", folder):
        for number, file in _found(place):
            if text := optional(place / f"temp{number}_{file}"):
                files[f"temp{number}", file] = text
    return Chip(_stable(folder) or name or _clean(folder.name), name, files)


def _found(folder: Path) -> list[tuple[str, str]]:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return []
    return [(match[1], match[2]) for name in names if (match := _FILE.fullmatch(name))]


# The number of a chip depends on the order drivers were loaded in; where its device sits does not.
def _stable(folder: Path) -> str:
    device = folder / "device"
    if not device.exists():
        return ""
    path = device.resolve()
    return "_".join(part for part in (_clean(path.parent.name), _clean(path.name)) if part)


def _clean(name: str) -> str:
    return _ODD.sub("_", name.strip().lower()).strip("_")


def _number(text: str) -> float | None:
    try:
        return float(int(text))
    except ValueError:
        return None
