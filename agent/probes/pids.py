"""How many threads there are and how many there can be: every process and every thread takes a number."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.probes.errors import MalformedError
from agent.probes.files import number, text
from agent.sample import Family, Kind, Sample

THREADS = Family("node_processes_threads", Kind.GAUGE, "Threads on the host.")
MAX_THREADS = Family("node_processes_max_threads", Kind.GAUGE, "Threads the kernel allows.")
MAX_PROCESSES = Family("node_processes_max_processes", Kind.GAUGE, "Numbers for processes and threads there are.")


@dataclass(frozen=True, slots=True)
class Pids:
    """Threads now, and the kernel's two limits for them."""

    threads: float
    max_threads: float
    max_processes: float


def read(procfs: Path) -> Pids:
    """Three small files."""
    kernel = procfs / "sys/kernel"
    return parse(text(procfs / "loadavg"), text(kernel / "threads-max"), text(kernel / "pid_max"))


def parse(loadavg: str, threads_max: str, pid_max: str) -> Pids:
    """The number behind the slash in /proc/loadavg counts every thread. MalformedError."""
    words = loadavg.split()
    running, slash, threads = words[3].partition("/") if len(words) > 3 else ("", "", "")
    if not slash or not running:
        raise MalformedError("loadavg", loadavg)
    return Pids(number(threads, "loadavg"), number(threads_max, "threads-max"), number(pid_max, "pid_max"))


def samples(reading: Pids) -> Iterator[Sample]:
    """Three gauges."""
    yield Sample(THREADS, (), reading.threads)
    yield Sample(MAX_THREADS, (), reading.max_threads)
    yield Sample(MAX_PROCESSES, (), reading.max_processes)
