"""Whether updates wait for a restart, as Debian's and Ubuntu's packages tell it; no data on other systems."""

from collections.abc import Iterator
from pathlib import Path

from agent.probes.errors import NoDataError
from agent.probes.files import optional
from agent.sample import Family, Kind, Sample

REQUIRED = Family("czuwak_reboot_required", Kind.GAUGE, "1 if an installed update asked for a restart.")

_KNOWN = {"debian", "ubuntu"}


def read(rootfs: Path) -> bool:
    """Whether the file is there that packages leave. NoDataError where nobody would leave it."""
    release = optional(rootfs / "etc/os-release") or ""
    if not _KNOWN & _family(release):
        raise NoDataError("this system does not say whether it wants a restart")
    return any((rootfs / folder / "reboot-required").exists() for folder in ("run", "var/run"))


def samples(reading: bool) -> Iterator[Sample]:
    """One gauge."""
    yield Sample(REQUIRED, (), float(reading))


def _family(release: str) -> set[str]:
    """The system's own name and those it descends from."""
    fields = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    words = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}"
    return set(words.replace('"', " ").replace("'", " ").split())
