"""Metrics other programs leave as files in one folder, for what the agent must not read itself: disks, backups.

A file is data from somebody else: it is never waited for, never followed elsewhere, and one bad file hides no other.
"""

import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.probes.errors import NoDataError
from agent.probes.metricfile import TextfileError, parse
from agent.sample import Family, Kind, Sample, labels

logger = logging.getLogger(__name__)

ERROR = Family("node_textfile_scrape_error", Kind.GAUGE, "1 if a file could not be taken.")
MTIME = Family("node_textfile_mtime_seconds", Kind.GAUGE, "When the file was written, in Unix time.")
REFUSED = Family("czuwak_agent_textfile_refused", Kind.GAUGE, "1 if the file was not taken; the log says why.")

MOST_BYTES = 1 << 20
MOST_FILES = 64
MOST_SAMPLES = 500

_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class Textfile:
    """One file: where it is, when it was written (Unix time), what it says, or why it was refused."""

    path: str
    mtime: float
    samples: tuple[Sample, ...] = ()
    refused: str = ""


class Textfiles:
    """Reads the folder. Lives as long as the agent: a file that did not change is not read again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[str, int, int, int], Textfile] = {}
        self._told: dict[str, str] = {}

    def read(self) -> tuple[Textfile, ...]:
        """Every file named *.prom, by name. NoDataError where the folder is not there."""
        try:
            folder = os.open(self._folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        except (FileNotFoundError, NotADirectoryError):
            raise NoDataError(f"{self._folder} is not there") from None
        try:
            names = _names(folder)
            owners = {0, os.geteuid(), os.fstat(folder).st_uid}
            found = [self._file(folder, name, owners) for name in names[:MOST_FILES]]
        finally:
            os.close(folder)
        found += [self._refused(name, 0.0, f"more than {MOST_FILES} files") for name in names[MOST_FILES:]]
        self._known = {key: file for key, file in self._known.items() if file in found}
        files = tuple(self._bounded(found))
        self._tell({file.path: file.refused for file in files if file.refused})
        return files

    def _file(self, folder: int, name: str, owners: set[int]) -> Textfile:
        try:
            descriptor = os.open(name, _FLAGS, dir_fd=folder)
        except OSError as error:
            return self._refused(name, 0.0, error.strerror or str(error))
        try:
            about = os.fstat(descriptor)
            if reason := _objection(about, owners):
                return self._refused(name, about.st_mtime, reason)
            key = (name, about.st_ino, about.st_mtime_ns, about.st_size)
            if key not in self._known:
                self._known[key] = self._parsed(name, about.st_mtime, _all(descriptor))
            return self._known[key]
        except OSError as error:
            return self._refused(name, 0.0, error.strerror or str(error))
        finally:
            os.close(descriptor)

    def _parsed(self, name: str, mtime: float, data: bytes) -> Textfile:
        try:
            return Textfile(str(self._folder / name), mtime, parse(data))
        except TextfileError as error:
            return self._refused(name, mtime, str(error))

    def _bounded(self, files: list[Textfile]) -> Iterator[Textfile]:
        """The first file to name a family says what it is; together they stay within the limit."""
        families: dict[str, Family] = {}
        room = MOST_SAMPLES
        for file in files:
            own = {sample.family.name: sample.family for sample in file.samples}
            other = next((name for name, family in own.items() if families.get(name, family) != family), "")
            if other or len(file.samples) > room:
                reason = f"another file describes {other} differently" if other else f"over {MOST_SAMPLES} samples"
                yield self._refused(Path(file.path).name, file.mtime, reason)
                continue
            families |= own
            room -= len(file.samples)
            yield file

    def _refused(self, name: str, mtime: float, reason: str) -> Textfile:
        return Textfile(str(self._folder / name), mtime, (), reason)

    def _tell(self, refused: dict[str, str]) -> None:
        for path, reason in refused.items():
            if self._told.get(path) != reason:
                logger.warning("The file %s is not taken: %s", path, reason, extra={"action": "textfile_refused"})
        self._told = refused


def samples(reading: tuple[Textfile, ...]) -> Iterator[Sample]:
    """What the files say, and how they are."""
    for file in reading:
        yield from file.samples
        own = labels(file=file.path)
        # Also 0: only a value proves that a file is taken again.
        yield Sample(REFUSED, own, float(bool(file.refused)))
        if file.mtime:
            yield Sample(MTIME, own, file.mtime)
    yield Sample(ERROR, (), float(any(file.refused for file in reading)))


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.name.endswith(".prom") and entry.name[0] != ".")


def _objection(about: os.stat_result, owners: set[int]) -> str:
    if not stat.S_ISREG(about.st_mode):
        return "it is no ordinary file"
    if about.st_uid not in owners:
        return "it belongs neither to root, nor to the folder's owner, nor to the agent's user"
    if about.st_mode & stat.S_IWOTH:
        return "everybody may write to it"
    if about.st_size > MOST_BYTES:
        return f"it is larger than {MOST_BYTES} bytes"
    return ""


def _all(descriptor: int) -> bytes:
    parts, room = [], MOST_BYTES
    while room > 0 and (part := os.read(descriptor, min(room, 1 << 16))):
        parts.append(part)
        room -= len(part)
    return b"".join(parts)
