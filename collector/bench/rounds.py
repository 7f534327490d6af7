"""What a simulated agent sends: node_exporter's shape as a schema, and each round's values, packed once. Pure."""

import struct
import zlib
from collections.abc import Collection, Iterator
from functools import lru_cache
from hashlib import sha256

from czuwak.v1 import ingest_pb2 as pb

LEVEL = "bench_level"
LOW, HIGH = 1.0, 99.0
MODES = ("user", "system", "idle", "iowait", "nice", "irq", "softirq", "steal")
MOUNTS = ("/", "/home", "/var")


def schema(series: int) -> pb.Schema:
    """`bench_level` first, which does the crossing, then load, memory, filesystems, and processors for the rest."""
    made = pb.Schema()
    for name, labels in _rows(series):
        made.series.add(
            name=name,
            labels=[pb.Label(name=n, value=v) for n, v in sorted(labels.items())],
            kind=pb.METRIC_KIND_COUNTER if name.endswith("_total") else pb.METRIC_KIND_GAUGE,
        )
    made.hash = sha256(made.SerializeToString(deterministic=True)).digest()[:16]
    return made


class Rounds:
    """Values of every round of a schema; all agents share them but for the level, so they are packed once."""

    def __init__(self, made: pb.Schema) -> None:
        self.made = made
        words = pb.Schema(series=made.series).SerializeToString(deterministic=True)
        self._short = pb.Schema(hash=made.hash, packed=zlib.compress(words))
        self._bases, self._steps = zip(*(_course(series) for series in made.series), strict=True)
        self._packed = lru_cache(maxsize=512)(self._pack)

    def schema(self, features: Collection[str]) -> pb.Schema:
        """The schema as a collector with these features takes it."""
        return self._short if "packed_schema" in features else self.made

    def values(self, number: int, level: float) -> bytes:
        """Round `number`: counters have grown, gauges stand, nothing is alarming but the level."""
        return struct.pack("<d", level) + self._packed(number)

    def _pack(self, number: int) -> bytes:
        rest = [base + step * number for base, step in zip(self._bases[1:], self._steps[1:], strict=True)]
        return struct.pack(f"<{len(rest)}d", *rest)


def _course(series: pb.Series) -> tuple[float, float]:
    """Where a series begins and what it grows by each round."""
    if series.name == "node_cpu_seconds_total":
        return 0.0, 0.9 if series.labels[1].value == "idle" else 0.01
    return {"node_filesystem_readonly": 0.0}.get(series.name, 0.5 if "load" in series.name else 6e10), 0.0


def _rows(series: int) -> Iterator[tuple[str, dict[str, str]]]:
    rows: list[tuple[str, dict[str, str]]] = [(LEVEL, {})]
    rows += [(f"node_load{n}", {}) for n in (1, 5, 15)]
    rows += [(f"node_memory_{n}_bytes", {}) for n in ("MemTotal", "MemAvailable")]
    for mount in MOUNTS:
        labels = {"device": "/dev/sda1", "fstype": "ext4", "mountpoint": mount}
        rows += [
            (f"node_filesystem_{n}", labels) for n in ("avail_bytes", "size_bytes", "files", "files_free", "readonly")
        ]
    cpus = max(0, series - len(rows) + len(MODES) - 1) // len(MODES)
    rows += [("node_cpu_seconds_total", {"cpu": str(c), "mode": m}) for c in range(cpus) for m in MODES]
    return iter(rows[:series])
