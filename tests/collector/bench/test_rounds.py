import struct
from hashlib import sha256

import pytest

from collector.bench.rounds import HIGH, LEVEL, Rounds, schema
from collector.ingest.packing import unpacked
from collector.ingest.session import FEATURES
from collector.ingest.stamp import Identity, stamp
from czuwak.v1 import ingest_pb2 as pb


@pytest.mark.parametrize("count", [1, 5, 46, 500])
def test_a_schema_has_as_many_series_as_asked_for_and_the_collector_takes_them(count: int) -> None:
    made = schema(count)
    assert len(made.series) == count
    assert made.series[0].name == LEVEL
    assert len(stamp(made, Identity("id", "i", "h", "c", "s", "server"))) == count


def test_the_hash_is_the_protocols() -> None:
    made = schema(10)
    bare = pb.Schema(series=made.series)
    assert made.hash == sha256(bare.SerializeToString(deterministic=True)).digest()[:16]


def test_the_schema_is_packed_for_a_collector_that_unpacks_it() -> None:
    rounds = Rounds(schema(500))
    assert rounds.schema(()) is rounds.made
    packed = rounds.schema(FEATURES)
    assert unpacked(packed) == rounds.made
    assert packed.ByteSize() < rounds.made.ByteSize() / 10


def test_a_round_is_the_level_and_then_everything_else() -> None:
    rounds = Rounds(schema(46))
    first, second = (struct.unpack("<46d", rounds.values(number, HIGH)) for number in (1, 2))
    assert first[0] == HIGH
    grown = [series.name for series, a, b in zip(rounds.made.series, first, second, strict=True) if b > a]
    assert set(grown) == {"node_cpu_seconds_total"}
