"""A round as protobuf: the series dictionary once, then a presence bitmap and packed doubles.

Pure: no socket, no clock. A series keeps its column for as long as its layout lives.
"""

import hashlib
import math
import struct
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from agent.round import Round
from agent.sample import Kind, Sample
from czuwak.v1 import ingest_pb2 as pb

PACKED = "packed_schema"  # the feature of a collector that unpacks a schema, up to so many bytes of it
MAX_PACKED = 1 << 20
_HASH_BYTES = 16
_KINDS = {
    Kind.GAUGE: pb.METRIC_KIND_GAUGE,
    Kind.COUNTER: pb.METRIC_KIND_COUNTER,
}


@dataclass(frozen=True, slots=True)
class Layout:
    """A schema as sent, and the column of each of its series by (name, labels)."""

    schema: pb.Schema
    columns: Mapping[tuple[str, tuple[tuple[str, str], ...]], int] = field(repr=False)

    @property
    def hash(self) -> bytes:
        """16 bytes that name the schema on the wire."""
        return self.schema.hash


def schema_of(round_: Round) -> pb.Schema:
    """Schema of one round's series, sorted by name and labels, so that the same set always has the same hash."""
    samples = {(s.family.name, s.labels): s for s in round_.samples}
    series = [_series(samples[key]) for key in sorted(samples)]
    return pb.Schema(hash=hash_of(series), series=series)


def hash_of(series: Iterable[pb.Series]) -> bytes:
    """First 16 bytes of SHA-256 over the deterministic encoding of a schema that has these series and no hash."""
    encoded = pb.Schema(series=series).SerializeToString(deterministic=True)
    return hashlib.sha256(encoded).digest()[:_HASH_BYTES]


def worded(schema: pb.Schema, features: Collection[str]) -> pb.Schema:
    """The schema as a collector with these features takes it: packed, a tenth as long, where that is understood."""
    if PACKED not in features:
        return schema
    words = pb.Schema(series=schema.series).SerializeToString(deterministic=True)
    return schema if len(words) > MAX_PACKED else pb.Schema(hash=schema.hash, packed=zlib.compress(words))


def layout_for(round_: Round, current: Layout | None) -> Layout:
    """The current layout while it fits the round, else a new one: a series is new, or over half of them are gone."""
    if current is not None and _fits(round_, current):
        return current
    schema = schema_of(round_)
    columns = {(s.name, tuple((label.name, label.value) for label in s.labels)): i for i, s in enumerate(schema.series)}
    return Layout(schema, columns)


def encode(round_: Round, layout: Layout, *, epoch: str, seq: int, boot_id: str) -> pb.Batch:
    """One batch of the round, its lane not yet chosen. NaN, which means unknown, is sent as absent."""
    values = [math.nan] * len(layout.columns)
    for sample in round_.samples:
        values[layout.columns[sample.family.name, sample.labels]] = sample.value
    present = [not math.isnan(value) for value in values]
    kept = [value for value in values if not math.isnan(value)]
    return pb.Batch(
        epoch=epoch,
        seq=seq,
        boottime_ns=round_.boottime_ns,
        schema_hash=layout.hash,
        presence=b"" if all(present) else _bitmap(present),
        values=struct.pack(f"<{len(kept)}d", *kept),
        boot_id=boot_id,
        wall_ns=int(round_.at * 1e9),
        suspended_ns=round_.suspended_ns,
    )


def _fits(round_: Round, layout: Layout) -> bool:
    columns = layout.columns
    if any((s.family.name, s.labels) not in columns for s in round_.samples):
        return False
    return len(round_.samples) * 2 >= len(columns)


def _series(sample: Sample) -> pb.Series:
    labels = [pb.Label(name=name, value=value) for name, value in sample.labels]
    return pb.Series(name=sample.family.name, labels=labels, kind=_KINDS[sample.family.kind])


def _bitmap(present: list[bool]) -> bytes:
    bits = sum(1 << i for i, here in enumerate(present) if here)
    return bits.to_bytes((len(present) + 7) // 8, "little")
