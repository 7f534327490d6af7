"""Time spent per processor and mode, from /proc/stat, and its clock frequency from cpufreq.

psutil numbers processors by their place, which renames them when one is offline; off Linux it is all there is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from agent.probes.errors import MalformedError
from agent.probes.files import number, optional, text
from agent.sample import Family, Kind, Sample, labels

SECONDS = Family("node_cpu_seconds_total", Kind.COUNTER, "Seconds each processor spent in each mode.")
GUEST = Family("node_cpu_guest_seconds_total", Kind.COUNTER, "Seconds each processor ran guests (virtual machines).")
FREQUENCY = Family("node_cpu_scaling_frequency_hertz", Kind.GAUGE, "Clock frequency as cpufreq scales it now.")
FREQUENCY_MIN = Family("node_cpu_scaling_frequency_min_hertz", Kind.GAUGE, "Lowest clock frequency cpufreq may choose.")
FREQUENCY_MAX = Family(
    "node_cpu_scaling_frequency_max_hertz", Kind.GAUGE, "Highest clock frequency cpufreq may choose."
)

MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
GUEST_MODES = ("user", "nice")
_SCALING = ((FREQUENCY, "scaling_cur_freq"), (FREQUENCY_MIN, "scaling_min_freq"), (FREQUENCY_MAX, "scaling_max_freq"))
_SOURCE = "stat"


@dataclass(frozen=True, slots=True)
class Processor:
    """One processor: seconds by mode, guest seconds by mode, hertz by family (only what the host tells)."""

    cpu: str
    seconds: dict[str, float]
    guest: dict[str, float]
    hertz: tuple[tuple[Family, float], ...] = ()


def read(procfs: Path, sysfs: Path, ticks_per_second: int) -> tuple[Processor, ...]:
    """Every processor that is online."""
    processors = parse(text(procfs / "stat"), ticks_per_second)
    return tuple(Processor(p.cpu, p.seconds, p.guest, _hertz(sysfs, p.cpu)) for p in processors)


def read_elsewhere() -> tuple[Processor, ...]:
    """The same from psutil, with the modes the system knows."""
    return tuple(
        Processor(str(i), {m: getattr(times, m) for m in MODES if hasattr(times, m)}, {})
        for i, times in enumerate(psutil.cpu_times(percpu=True))
    )


def parse(stat: str, ticks_per_second: int) -> list[Processor]:
    """The `cpuN` lines of /proc/stat; modes an old kernel does not write are absent. MalformedError."""
    return [_processor(line.split(), ticks_per_second) for line in stat.splitlines() if _is_processor(line)]


def samples(reading: tuple[Processor, ...]) -> Iterator[Sample]:
    """A sample per processor and mode, and per frequency."""
    for p in reading:
        for mode, seconds in p.seconds.items():
            yield Sample(SECONDS, (("cpu", p.cpu), ("mode", mode)), seconds)
        for mode, seconds in p.guest.items():
            yield Sample(GUEST, (("cpu", p.cpu), ("mode", mode)), seconds)
        for family, hertz in p.hertz:
            yield Sample(family, labels(cpu=p.cpu), hertz)


def _is_processor(line: str) -> bool:
    return line.startswith("cpu") and not line.startswith("cpu ")


def _processor(words: list[str], ticks_per_second: int) -> Processor:
    cpu = words[0][3:]
    if not (cpu.isascii() and cpu.isdigit()) or len(words) < 5:
        raise MalformedError(_SOURCE, " ".join(words))
    seconds = [number(word, _SOURCE) / ticks_per_second for word in words[1:]]
    guest = seconds[len(MODES) :]
    return Processor(cpu, dict(zip(MODES, seconds, strict=False)), dict(zip(GUEST_MODES, guest, strict=False)))


def _hertz(sysfs: Path, cpu: str) -> tuple[tuple[Family, float], ...]:
    folder = f"{sysfs}/devices/system/cpu/cpu{cpu}/cpufreq"
    kilohertz = ((family, optional(f"{folder}/{name}")) for family, name in _SCALING)
    # Some virtual machines answer 0, which is no frequency; drivers may answer "<unknown>".
    return tuple((family, float(khz) * 1000) for family, khz in kilohertz if khz and khz.isdecimal() and float(khz))
