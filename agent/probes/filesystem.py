"""Size and free room of every mounted filesystem, from init's mount table and statvfs().

psutil reads our own mount table, which a hardened service unit makes read-only; init's tells the host's truth.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from agent.probes.errors import MalformedError, NoDataError
from agent.probes.files import text
from agent.probes.probe import ProbeSettings, excluder
from agent.probes.statvfs import Answer, Statvfs
from agent.sample import Family, Kind, Sample, labels

SIZE = Family("node_filesystem_size_bytes", Kind.GAUGE, "Size of the filesystem.")
FREE = Family("node_filesystem_free_bytes", Kind.GAUGE, "Free bytes, what only root may use included.")
AVAIL = Family("node_filesystem_avail_bytes", Kind.GAUGE, "Free bytes that every user may use.")
FILES = Family("node_filesystem_files", Kind.GAUGE, "Files (inodes) there can be.")
FILES_FREE = Family("node_filesystem_files_free", Kind.GAUGE, "Files (inodes) that can still be made.")
READONLY = Family("node_filesystem_readonly", Kind.GAUGE, "1 if nothing can be written.")
DEVICE_ERROR = Family("node_filesystem_device_error", Kind.GAUGE, "1 if the filesystem did not tell its size.")

_ESCAPE = re.compile(r"\\([0-7]{3})")
_SOURCE = "mountinfo"


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the mount table."""

    device: str
    mountpoint: str
    fstype: str
    readonly: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """A mount and what it said when asked: its room, or why there is none."""

    mount: Mount
    answer: Answer


class Filesystems:
    """Reads the mounts. Lives as long as the agent, because a mount that hangs must be remembered."""

    def __init__(self, settings: ProbeSettings, mounts: Callable[[], list[Mount]] | None = None) -> None:
        self._procfs = settings.procfs
        self._rootfs = str(settings.rootfs).rstrip("/")
        self._mount_excluded = excluder(settings.mounts_excluded)
        self._fstype_excluded = excluder(settings.filesystems_excluded)
        self._mounts = mounts or (lambda: parse(_table(self._procfs)))
        self._statvfs = Statvfs(settings.kernel.space, settings.statvfs_seconds)

    def read(self) -> tuple[Usage, ...]:
        """Every mount that is not left out, with its answer; takes at most the configured seconds."""
        mounts = [mount for mount in map(self._inside, visible(self._mounts())) if not self._excluded(mount)]
        answers = self._statvfs.ask(self._rootfs + m.mountpoint for m in mounts)
        return tuple(Usage(m, answers[self._rootfs + m.mountpoint]) for m in mounts)

    def _excluded(self, mount: Mount) -> bool:
        return self._mount_excluded(mount.mountpoint) or self._fstype_excluded(mount.fstype)

    # In a container that has the host's root at a path, init's table has the host's own paths, ours has them below it.
    def _inside(self, mount: Mount) -> Mount:
        if not self._rootfs or not f"{mount.mountpoint}/".startswith(f"{self._rootfs}/"):
            return mount
        inside = mount.mountpoint.removeprefix(self._rootfs) or "/"
        return Mount(mount.device, inside, mount.fstype, mount.readonly)


def parse(mountinfo: str) -> list[Mount]:
    """The lines of /proc/PID/mountinfo, in mount order. MalformedError."""
    return [_mount(line) for line in mountinfo.splitlines() if line]


def visible(mounts: list[Mount]) -> list[Mount]:
    """What a path reaches: of several mounts on one place only the last."""
    return list({mount.mountpoint: mount for mount in mounts}.values())


def elsewhere() -> list[Mount]:
    """The mount table of other systems, from psutil."""
    return [Mount(p.device, p.mountpoint, p.fstype, "ro" in p.opts.split(",")) for p in psutil.disk_partitions()]


def samples(reading: tuple[Usage, ...]) -> Iterator[Sample]:
    """Seven gauges per filesystem, two where it did not answer."""
    for usage in reading:
        yield from _of(usage)


def _of(usage: Usage) -> Iterator[Sample]:
    mount, answer = usage.mount, usage.answer
    error = answer if isinstance(answer, str) else ""
    own = labels(device=mount.device, device_error=error, fstype=mount.fstype, mountpoint=mount.mountpoint)
    yield Sample(DEVICE_ERROR, own, float(bool(error)))
    yield Sample(READONLY, own, float(mount.readonly))
    if isinstance(answer, str):
        return
    yield Sample(SIZE, own, answer.size)
    yield Sample(FREE, own, answer.free)
    yield Sample(AVAIL, own, answer.avail)
    if answer.files is not None and answer.files_free is not None:
        yield Sample(FILES, own, answer.files)
        yield Sample(FILES_FREE, own, answer.files_free)


def _table(procfs: Path) -> str:
    # Under hidepid, or without a process 1 of the host in sight, our own table is the best there is.
    try:
        return text(procfs / "1/mountinfo")
    except (NoDataError, PermissionError):
        return text(procfs / "self/mountinfo")


def _mount(line: str) -> Mount:
    head, dash, tail = line.partition(" - ")
    fields, rest = head.split(" "), tail.split(" ")
    if not dash or len(fields) < 6 or len(rest) < 3:
        raise MalformedError(_SOURCE, line)
    readonly = "ro" in fields[5].split(",") or "ro" in rest[2].split(",")
    return Mount(_plain(rest[1]), _plain(fields[4]), rest[0], readonly)


def _plain(field: str) -> str:
    if "\\" not in field:
        return field
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), field)
