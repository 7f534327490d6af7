"""All of /proc/meminfo under node_exporter's names.

psutil's `cached` has reclaimable slabs in it, so it must not stand for Cached; off Linux only what is honest is shown.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import psutil

from agent.probes.errors import MalformedError
from agent.probes.files import number, text
from agent.sample import Family, Kind, Sample

_KIB = 1024
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\([A-Za-z0-9_]+\))?")


def read(procfs: Path) -> dict[str, float]:
    """Every field of /proc/meminfo by the name it has in a metric."""
    return parse(text(procfs / "meminfo"))


def read_elsewhere() -> dict[str, float]:
    """Physical and swap memory as psutil tells them."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "MemTotal_bytes": memory.total,
        "MemAvailable_bytes": memory.available,
        "MemFree_bytes": memory.free,
        "SwapTotal_bytes": swap.total,
        "SwapFree_bytes": swap.free,
    }


def parse(meminfo: str) -> dict[str, float]:
    """`Active(anon):  12 kB` -> {"Active_anon_bytes": 12288.0}; a field without a unit is a count. MalformedError."""
    return dict(_field(line) for line in meminfo.splitlines() if line.strip())


def samples(reading: dict[str, float]) -> Iterator[Sample]:
    """One gauge per field."""
    return (Sample(_family(name), (), value) for name, value in reading.items())


def _field(line: str) -> tuple[str, float]:
    key, colon, rest = line.partition(":")
    words = rest.split()
    if not colon or not _KEY.fullmatch(key) or not words or words[1:] not in ([], ["kB"]):
        raise MalformedError("meminfo", line)
    name = key.replace("(", "_").replace(")", "")
    value = number(words[0], "meminfo")
    return (f"{name}_bytes", value * _KIB) if words[1:] else (name, value)


# The kernel decides which fields there are, so the families cannot be constants; each is made once.
@lru_cache(maxsize=256)
def _family(name: str) -> Family:
    return Family(f"node_memory_{name}", Kind.GAUGE, f"Memory: the field {name} of /proc/meminfo.")
