"""What the agent itself costs: processor time, memory, threads."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import psutil

from agent.sample import Family, Kind, Sample

CPU = Family("czuwak_agent_cpu_seconds_total", Kind.COUNTER, "Processor time the agent took, its workers included.")
RESIDENT = Family("czuwak_agent_resident_bytes", Kind.GAUGE, "Memory of the agent that is in RAM.")
THREADS = Family("czuwak_agent_threads", Kind.GAUGE, "Threads of the agent.")


@dataclass(frozen=True, slots=True)
class Own:
    """Seconds, bytes and a count."""

    cpu_seconds: float
    resident_bytes: float
    threads: float


def reader() -> Callable[[], Own]:
    """A function that reads this process."""
    return partial(_read, psutil.Process())


def samples(reading: Own) -> Iterator[Sample]:
    """Three samples."""
    yield Sample(CPU, (), reading.cpu_seconds)
    yield Sample(RESIDENT, (), reading.resident_bytes)
    yield Sample(THREADS, (), reading.threads)


def _read(process: psutil.Process) -> Own:
    return Own(time.process_time(), process.memory_info().rss, process.num_threads())
