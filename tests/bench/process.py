"""What a process costs, from the kernel's own accounting."""

import os
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """User and system time of the process so far."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def pss_mib(pid: int) -> float:
    """Proportional set size."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def written_bytes(pid: int) -> int:
    """What the process caused to be written to disk."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    return 0


def threads(pid: int) -> int:
    """How many it runs."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def children(pid: int) -> dict[str, int]:
    """Command line -> pid of the direct children."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if int((path / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found[(path / "cmdline").read_text().replace("\0", " ")] = int(path.name)
        except OSError:
            continue
    return found
