"""Errors the memory controllers noticed, corrected or not; no data without memory that checks itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.probes.errors import NoDataError
from agent.probes.files import number, text
from agent.sample import Family, Kind, Sample, labels

CORRECTED = Family("node_edac_correctable_errors_total", Kind.COUNTER, "Memory errors that were corrected.")
UNCORRECTED = Family("node_edac_uncorrectable_errors_total", Kind.COUNTER, "Memory errors that could not be corrected.")


@dataclass(frozen=True, slots=True)
class Controller:
    """One memory controller by its number, and its errors since it was loaded."""

    number: str
    corrected: float
    uncorrected: float


def read(sysfs: Path) -> tuple[Controller, ...]:
    """Every memory controller. NoDataError where none reports."""
    folders = sorted((sysfs / "devices/system/edac/mc").glob("mc[0-9]*"))
    if not folders:
        raise NoDataError("no memory controller reports errors here")
    return tuple(_controller(folder) for folder in folders)


def samples(reading: tuple[Controller, ...]) -> Iterator[Sample]:
    """Two counters per controller."""
    for controller in reading:
        own = labels(controller=controller.number)
        yield Sample(CORRECTED, own, controller.corrected)
        yield Sample(UNCORRECTED, own, controller.uncorrected)


def _controller(folder: Path) -> Controller:
    corrected, uncorrected = (number(text(folder / name), name) for name in ("ce_count", "ue_count"))
    return Controller(folder.name.removeprefix("mc"), corrected, uncorrected)
