"""The state of Linux software RAID, from /proc/mdstat."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.probes.errors import MalformedError
from agent.probes.files import number, text
from agent.sample import Family, Kind, Sample, labels

STATE = Family("node_md_state", Kind.GAUGE, "1 for the state the array is in, 0 for the others.")
DISKS = Family("node_md_disks", Kind.GAUGE, "Disks of the array by state.")
REQUIRED = Family("node_md_disks_required", Kind.GAUGE, "Disks the array needs to be complete.")
BLOCKS = Family("node_md_blocks", Kind.GAUGE, "Blocks of 1 KiB in the array.")
SYNCED = Family("node_md_blocks_synced", Kind.GAUGE, "Blocks of the array that are in step on all disks.")

STATES = ("active", "inactive", "recovering", "check", "resync")

_HEAD = re.compile(r"(md\S*) : (\S+)(.*)")
_DISKS = re.compile(r"\[(\d+)/(\d+)\]")
_PROGRESS = re.compile(r"(recovery|resync|reshape|check|repair)\s*=\s*[\d.]+%\s*\((\d+)/\d+\)")
_WAITING = re.compile(r"(recovery|resync|reshape|check|repair)\s*=\s*(?:PENDING|DELAYED|REMOTE)")
_ACTIVITY = {"recovery": "recovering", "reshape": "resync", "resync": "resync", "check": "check", "repair": "check"}


@dataclass(frozen=True, slots=True)
class Array:
    """One array; counts of disks and of blocks."""

    device: str
    state: str
    active: float
    failed: float
    spare: float
    required: float
    blocks: float
    synced: float


def read(procfs: Path) -> tuple[Array, ...]:
    """Every array the kernel knows. NoDataError where it knows no software RAID."""
    return parse(text(procfs / "mdstat"))


def parse(mdstat: str) -> tuple[Array, ...]:
    """The paragraphs of /proc/mdstat that begin with an array's name. MalformedError."""
    paragraphs: list[list[str]] = []
    for line in mdstat.splitlines():
        if line.startswith("md"):
            paragraphs.append([line])
        elif line.startswith(" ") and paragraphs:
            paragraphs[-1].append(line)
    return tuple(_array(head, rest) for head, *rest in paragraphs)


def samples(reading: tuple[Array, ...]) -> Iterator[Sample]:
    """Eleven gauges per array."""
    for array in reading:
        own = labels(device=array.device)
        for state in STATES:
            yield Sample(STATE, labels(device=array.device, state=state), float(array.state == state))
        for state, disks in (("active", array.active), ("failed", array.failed), ("spare", array.spare)):
            yield Sample(DISKS, labels(device=array.device, state=state), disks)
        yield Sample(REQUIRED, own, array.required)
        yield Sample(BLOCKS, own, array.blocks)
        yield Sample(SYNCED, own, array.synced)


def _array(head: str, rest: list[str]) -> Array:
    found = _HEAD.match(head)
    words = rest[0].split() if rest else []
    if found is None or found[2] not in STATES[:2] or not words:
        raise MalformedError("mdstat", head)
    device, state, members = found.groups()
    blocks = number(words[0], "mdstat")
    required, active = _counted(state, members, rest[0])
    activity, synced = _progress("\n".join(rest[1:]), state, blocks)
    return Array(device, activity, active, members.count("(F)"), members.count("(S)"), required, blocks, synced)


# An array without redundancy says nothing about its disks: it needs every one that is listed.
def _counted(state: str, members: str, line: str) -> tuple[float, float]:
    if state == "inactive":
        return 0, 0
    found = _DISKS.search(line)
    if found is not None:
        return number(found[1], "mdstat"), number(found[2], "mdstat")
    listed = float(members.count("["))
    return listed, listed


def _progress(lines: str, state: str, blocks: float) -> tuple[str, float]:
    if (under_way := _PROGRESS.search(lines)) is not None:
        return _ACTIVITY[under_way[1]], number(under_way[2], "mdstat")
    if (waiting := _WAITING.search(lines)) is not None:
        return _ACTIVITY[waiting[1]], 0.0
    return state, blocks
