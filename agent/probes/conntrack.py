"""Connections the firewall tracks; no data where its kernel module is not loaded."""

from collections.abc import Iterator
from pathlib import Path

from agent.probes.files import number, text
from agent.sample import Family, Kind, Sample

ENTRIES = Family("node_nf_conntrack_entries", Kind.GAUGE, "Connections tracked now.")
LIMIT = Family("node_nf_conntrack_entries_limit", Kind.GAUGE, "Connections that can be tracked.")


def read(procfs: Path) -> tuple[float, float]:
    """Tracked now and the limit."""
    folder = procfs / "sys/net/netfilter"
    return parse(text(folder / "nf_conntrack_count"), text(folder / "nf_conntrack_max"))


def parse(count: str, limit: str) -> tuple[float, float]:
    """One number per file. MalformedError."""
    return number(count, "nf_conntrack_count"), number(limit, "nf_conntrack_max")


def samples(reading: tuple[float, float]) -> Iterator[Sample]:
    """Two gauges."""
    entries, limit = reading
    yield Sample(ENTRIES, (), entries)
    yield Sample(LIMIT, (), limit)
