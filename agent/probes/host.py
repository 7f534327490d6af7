"""What the host is: its name and kernel, its operating system's release, its clock, and the agent's own version."""

import platform
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent import __version__
from agent.probes.errors import NoDataError
from agent.probes.files import optional, text
from agent.probes.probe import Kernel
from agent.sample import Family, Kind, Sample, labels

UNAME = Family("node_uname_info", Kind.GAUGE, "Always 1; its labels are what the kernel calls itself and the host.")
OS_INFO = Family("node_os_info", Kind.GAUGE, "Always 1; its labels are the operating system's release file.")
OS_VERSION = Family("node_os_version", Kind.GAUGE, "The first two parts of the operating system's version.")
TIME = Family("node_time_seconds", Kind.GAUGE, "The host's clock when the round was taken, in Unix time.")
BUILD = Family("czuwak_agent_build_info", Kind.GAUGE, "Always 1; its labels are the agent's version and Python's.")

_RELEASE_LABELS = (
    *("build_id", "id", "id_like", "image_id", "image_version", "name", "pretty_name"),
    *("variant", "variant_id", "version", "version_codename", "version_id"),
)
_UNAME_FILES = {
    "sysname": "ostype",
    "release": "osrelease",
    "version": "version",
    "nodename": "hostname",
    "domainname": "domainname",
}


@dataclass(frozen=True, slots=True)
class Host:
    """Names and versions. `release` is empty where the system has no release file."""

    uname: dict[str, str]
    release: dict[str, str]
    now: float
    python: str


def read(procfs: Path, rootfs: Path, kernel: Kernel) -> Host:
    """From /proc/sys/kernel, which unlike uname() in Python knows the domain, and the release file."""
    names = {label: optional(procfs / "sys/kernel" / file) or "" for label, file in _UNAME_FILES.items()}
    return Host({**names, "machine": kernel.machine()}, _release(rootfs), kernel.wall(), kernel.python())


def read_elsewhere(rootfs: Path, kernel: Kernel) -> Host:
    """The same from Python's platform."""
    own = platform.uname()
    names = {"sysname": own.system, "release": own.release, "version": own.version, "nodename": own.node}
    return Host({**names, "domainname": "", "machine": own.machine}, _release(rootfs), kernel.wall(), kernel.python())


def parse_release(release: str) -> dict[str, str]:
    """os-release: `NAME="Debian GNU/Linux"` lines by lower-case name; other lines are passed over."""
    assigned = (line.partition("=") for line in release.splitlines() if not line.startswith("#"))
    return {name.strip().lower(): _unquoted(value) for name, equals, value in assigned if equals}


def samples(reading: Host) -> Iterator[Sample]:
    """Info metrics and the clock."""
    yield Sample(UNAME, labels(**reading.uname), 1)
    yield Sample(TIME, (), reading.now)
    yield Sample(BUILD, labels(version=__version__, python=reading.python), 1)
    release = reading.release
    if release:
        yield Sample(OS_INFO, labels(**{name: release.get(name, "") for name in _RELEASE_LABELS}), 1)
        version = _number(release.get("version_id", ""))
        if version is not None:
            named = {name: release.get(name, "") for name in ("id", "id_like", "name")}
            yield Sample(OS_VERSION, labels(**named), version)


def _release(rootfs: Path) -> dict[str, str]:
    for file in ("etc/os-release", "usr/lib/os-release"):
        try:
            return parse_release(text(rootfs / file))
        except (NoDataError, OSError):
            continue
    return {}


def _unquoted(value: str) -> str:
    try:
        return "".join(shlex.split(value))
    except ValueError:
        return value.strip("\"' ")


def _number(version: str) -> float | None:
    try:
        return float(".".join(version.split(".")[:2]))
    except ValueError:
        return None
