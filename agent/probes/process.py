"""How many processes there are, and for each watched one: how many run, their processor time and their memory.

psutil's process_iter opens several files of every process; here a name or a command line is read only when a process
is new, and again from time to time because a process may turn into another program.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil

from agent.probes.errors import MalformedError, NoDataError, ProbeError
from agent.probes.files import number, text
from agent.probes.match import Matcher, matcher
from agent.probes.probe import ProbeSettings
from agent.sample import Family, Kind, Sample, labels

COUNT = Family("node_processes_pids", Kind.GAUGE, "Processes on the host.")
RUNNING = Family("czuwak_process_running", Kind.GAUGE, "Processes that match a watched name; 0 if it is gone.")
CPU = Family("czuwak_process_cpu_seconds_total", Kind.COUNTER, "Processor time of a watched name's processes.")
RESIDENT = Family("czuwak_process_resident_bytes", Kind.GAUGE, "Memory in RAM of a watched name's processes.")

# A young process is often about to become what it was started for; an old one seldom changes.
_YOUNG_ROUNDS = 4
_REREAD_ROUNDS = 8
# To say 0 of a process we may not see would be a false alarm.
_HIDDEN = "other users' processes are hidden from the agent: /proc is mounted with hidepid, give the agent its group"


@dataclass(frozen=True, slots=True)
class Watched:
    """One watched name: running processes, seconds since the agent first saw them, bytes."""

    name: str
    running: int
    cpu_seconds: float
    resident_bytes: float


@dataclass(frozen=True, slots=True)
class Processes:
    """The number of all processes and what is watched."""

    count: int
    watched: tuple[Watched, ...]


@dataclass(frozen=True, slots=True)
class Life:
    """A process' line in /proc/PID/stat: start in ticks since boot, seconds of processor, bytes in RAM."""

    start: float
    cpu_seconds: float
    resident_bytes: float
    alive: bool


@dataclass(slots=True)
class _Known:
    """What is remembered of a process: which watched names it matches, and for how many rounds it has been known."""

    matches: frozenset[str] = frozenset()
    rounds: int = 0


@dataclass(slots=True)
class _Meter:
    """Adds up processor time over processes that come and go, so that the sum never falls."""

    total: float = 0.0
    last: dict[tuple[str, float], float] = field(default_factory=dict)

    def add(self, lives: dict[str, Life]) -> float:
        now = {(pid, life.start): life.cpu_seconds for pid, life in lives.items()}
        self.total += sum(max(0.0, seconds - self.last.get(key, 0.0)) for key, seconds in now.items())
        self.last = now
        return self.total


class ProcessTable:
    """Reads /proc. Lives as long as the agent, because it remembers who is who."""

    def __init__(self, settings: ProbeSettings) -> None:
        self._procfs = settings.procfs
        self._kernel = settings.kernel
        self._matchers = {watched.name: matcher(watched) for watched in settings.processes}
        self._meters = {name: _Meter() for name in self._matchers}
        self._known: dict[tuple[str, int], _Known] = {}

    def read(self) -> Processes:
        """Count all processes; look closer at those that match."""
        present = self._present()
        if not self._matchers:
            return Processes(len(present), ())
        if "1" not in (pid for pid, _ in present):
            raise ProbeError(_HIDDEN)
        known = {key: self._known.get(key) or _Known() for key in present}
        self._known = known
        lives = {pid: life for (pid, _), who in known.items() if self._matches(pid, who) and (life := self._life(pid))}
        matching = {pid: who.matches for (pid, _), who in known.items()}
        return Processes(len(present), tuple(self._watched(name, lives, matching) for name in self._matchers))

    # The inode comes with the listing for nothing and is new with every process, so it tells a re-used number apart.
    def _present(self) -> list[tuple[str, int]]:
        with os.scandir(self._procfs) as entries:
            return [(entry.name, entry.inode()) for entry in entries if entry.name.isdigit()]

    def _matches(self, pid: str, who: _Known) -> bool:
        who.rounds += 1
        young = who.rounds <= _YOUNG_ROUNDS
        if young or who.matches or (who.rounds + int(pid)) % _REREAD_ROUNDS == 0:
            who.matches = self._identify(pid)
        return bool(who.matches)

    def _identify(self, pid: str) -> frozenset[str]:
        folder = f"{self._procfs}/{pid}"
        try:
            comm = text(f"{folder}/comm").rstrip("\n")
            command = text(f"{folder}/cmdline") if self._wants_command(comm) else ""
        except PermissionError:
            raise ProbeError(_HIDDEN) from None
        except (NoDataError, OSError):
            return frozenset()
        arguments = command.rstrip("\0").split("\0")
        return frozenset(name for name, match in self._matchers.items() if match.of(comm, arguments))

    def _wants_command(self, comm: str) -> bool:
        return any(match.wants_command(comm) for match in self._matchers.values())

    def _life(self, pid: str) -> Life | None:
        try:
            life = parse(text(f"{self._procfs}/{pid}/stat"), self._kernel.ticks_per_second, self._kernel.page_bytes)
        except (NoDataError, OSError):
            return None
        return life if life.alive else None

    def _watched(self, name: str, lives: dict[str, Life], matching: dict[str, frozenset[str]]) -> Watched:
        own = {pid: life for pid, life in lives.items() if name in matching[pid]}
        resident = sum(life.resident_bytes for life in own.values())
        return Watched(name, len(own), self._meters[name].add(own), resident)


def read_elsewhere(matchers: dict[str, Matcher], meters: dict[str, _Meter]) -> Processes:
    """The same through psutil, for systems without /proc."""
    count = 0
    lives: dict[str, dict[str, Life]] = {name: {} for name in matchers}
    for process in psutil.process_iter():
        count += 1
        try:
            own = [name for name, match in matchers.items() if match.of(process.name(), process.cmdline())]
            for name in own:
                lives[name][str(process.pid)] = _life_elsewhere(process)
        except psutil.Error:
            continue
    return Processes(count, tuple(_summed(name, lives[name], meters[name]) for name in matchers))


def reader_elsewhere(settings: ProbeSettings) -> Callable[[], Processes]:
    """A function that reads through psutil and remembers processor time."""
    matchers = {watched.name: matcher(watched) for watched in settings.processes}
    meters = {name: _Meter() for name in matchers}
    return lambda: read_elsewhere(matchers, meters)


def parse(stat: str, ticks_per_second: int, page_bytes: int) -> Life:
    """/proc/PID/stat; the name in it may hold anything, what counts is after its last bracket. MalformedError."""
    words = stat.rpartition(")")[2].split()
    if len(words) < 22:
        raise MalformedError("PID/stat", stat)
    user, system, start, pages = (number(words[i], "PID/stat") for i in (11, 12, 19, 21))
    return Life(start, (user + system) / ticks_per_second, pages * page_bytes, words[0] not in "ZXx")


def samples(reading: Processes) -> Iterator[Sample]:
    """The count, and three samples for every watched name whether or not it runs."""
    yield Sample(COUNT, (), reading.count)
    for watched in reading.watched:
        own = labels(name=watched.name)
        yield Sample(RUNNING, own, watched.running)
        yield Sample(CPU, own, watched.cpu_seconds)
        yield Sample(RESIDENT, own, watched.resident_bytes)


def _life_elsewhere(process: psutil.Process) -> Life:
    times = process.cpu_times()
    return Life(process.create_time(), times.user + times.system, process.memory_info().rss, alive=True)


def _summed(name: str, lives: dict[str, Life], meter: _Meter) -> Watched:
    return Watched(name, len(lives), meter.add(lives), sum(life.resident_bytes for life in lives.values()))
