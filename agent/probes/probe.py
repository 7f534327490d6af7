"""What a probe is, and what a user may set about the probes. No host is touched here."""

import os
import platform
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from agent.probes.statvfs import Space, space
from agent.probes.timex import Clock, adjtimex
from agent.sample import Sample

R = TypeVar("R")

_SERVICE = re.compile(r"[A-Za-z0-9:_.\\@$ -]{1,255}")

# The first three are node_exporter's defaults. The fourth is ours: the host's ends of containers' cables
# are named at random and come and go, which would make a new set of series with every container.
MOUNTS_EXCLUDED = r"^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)"
FILESYSTEMS_EXCLUDED = (
    r"^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay"
    r"|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$"
)
DISKS_EXCLUDED = r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$"
NETWORKS_EXCLUDED = r"^veth"


@dataclass(frozen=True, slots=True)
class Probe(Generic[R]):
    """One subject: `read` touches the host, `samples` is pure. Raises ProbeError, OSError or psutil's errors."""

    name: str
    read: Callable[[], R]
    samples: Callable[[R], Iterable[Sample]]


@dataclass(frozen=True, slots=True)
class WatchedProcess:
    """A process somebody misses when it is gone.

    `match` empty or `=NAME`: the process' exact name. `~REGEX`: searched in the command line (arguments joined by
    one space). Anything else: a part of the command line. ValueError for a broken pattern or an empty name.
    """

    name: str
    match: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a watched process needs a name")
        _compiled(self.match[1:] if self.match.startswith("~") else "")
        if self.match in {"=", "~"}:
            raise ValueError(f"the watched process {self.name} has nothing after {self.match!r}")


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the system answers other than by files; tests of a whole page give literals instead."""

    wall: Callable[[], float] = time.time
    space: Callable[[str], Space] = space
    adjtimex: Callable[[], Clock] = adjtimex
    machine: Callable[[], str] = platform.machine
    python: Callable[[], str] = platform.python_version
    page_bytes: int = 4096
    ticks_per_second: int = 100


def _kernel() -> Kernel:
    if not hasattr(os, "sysconf"):
        return Kernel()
    return Kernel(page_bytes=os.sysconf("SC_PAGE_SIZE"), ticks_per_second=os.sysconf("SC_CLK_TCK"))


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """Where the host's files are, what is watched, what is left out. ValueError for a broken pattern.

    `processes` without an entry and `services` without an entry cost nothing: their probes do not look.
    """

    procfs: Path = Path("/proc")
    sysfs: Path = Path("/sys")
    rootfs: Path = Path("/")
    processes: tuple[WatchedProcess, ...] = ()
    services: tuple[str, ...] = ()
    # Where Debian's collection of such programs writes.
    textfiles: Path = Path("/var/lib/prometheus/node-exporter")
    mounts_excluded: str = MOUNTS_EXCLUDED
    filesystems_excluded: str = FILESYSTEMS_EXCLUDED
    disks_excluded: str = DISKS_EXCLUDED
    networks_excluded: str = NETWORKS_EXCLUDED
    statvfs_seconds: float = 5.0
    kernel: Kernel = field(default_factory=_kernel)

    def __post_init__(self) -> None:
        names = [watched.name for watched in self.processes]
        if len(set(names)) < len(names):
            raise ValueError("two watched processes have the same name")
        for name in self.services:
            if not _SERVICE.fullmatch(name):
                raise ValueError(f"{name!r} cannot be the name of a service")
        for pattern in (self.mounts_excluded, self.filesystems_excluded, self.disks_excluded, self.networks_excluded):
            _compiled(pattern)


def excluder(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether a name is left out; an empty pattern leaves out nothing."""
    if not pattern:
        return lambda _: False
    compiled = _compiled(pattern)
    return lambda name: compiled.search(name) is not None


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
