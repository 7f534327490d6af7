import hashlib
import math
import struct

import pytest

from agent.batch import Layout, encode, hash_of, layout_for, schema_of
from agent.round import Round
from agent.sample import Family, Kind, Sample
from czuwak.v1 import ingest_pb2 as pb

UP = Family("up", Kind.GAUGE, "Up.")
BYTES = Family("bytes_total", Kind.COUNTER, "Bytes.")


def taken(*samples: tuple[Family, str, float]) -> Round:
    return Round(1000.0, 5_000, tuple(Sample(f, (("dev", dev),) if dev else (), value) for f, dev, value in samples))


def sent(round_: Round, layout: Layout) -> pb.Batch:
    return encode(round_, layout, epoch="e", seq=7, boot_id="b")


def doubles(batch: pb.Batch) -> tuple[float, ...]:
    return struct.unpack(f"<{len(batch.values) // 8}d", batch.values)


def test_a_schema_lists_name_labels_and_kind_in_name_order() -> None:
    schema = schema_of(taken((UP, "", 1.0), (BYTES, "b", 2.0), (BYTES, "a", 3.0)))
    assert [(s.name, [(x.name, x.value) for x in s.labels], s.kind) for s in schema.series] == [
        ("bytes_total", [("dev", "a")], pb.METRIC_KIND_COUNTER),
        ("bytes_total", [("dev", "b")], pb.METRIC_KIND_COUNTER),
        ("up", [], pb.METRIC_KIND_GAUGE),
    ]


def test_the_hash_is_the_first_16_bytes_of_sha256_over_the_schema_without_hash() -> None:
    schema = schema_of(taken((UP, "", 1.0)))
    bare = pb.Schema(series=schema.series).SerializeToString(deterministic=True)
    assert schema.hash == hashlib.sha256(bare).digest()[:16]
    # The bytes of one series named "up" of kind gauge, written out: the wire format is an interface.
    assert schema.hash == hashlib.sha256(b"\x12\x06\x0a\x02up\x18\x01").digest()[:16]
    assert hash_of(schema.series) == schema.hash


def test_the_order_in_a_round_does_not_change_the_hash() -> None:
    assert (
        schema_of(taken((UP, "", 1.0), (BYTES, "a", 2.0))).hash
        == schema_of(taken((BYTES, "a", 9.0), (UP, "", 8.0))).hash
    )


def test_a_batch_tells_the_wall_clock_and_how_long_the_boot_has_slept() -> None:
    round_ = Round(1000.25, 5_000, taken((UP, "", 1.5)).samples, suspended_ns=77)
    batch = sent(round_, layout_for(round_, None))
    assert (batch.wall_ns, batch.suspended_ns) == (1_000_250_000_000, 77)


def test_a_full_round_has_no_bitmap() -> None:
    round_ = taken((UP, "", 1.5), (BYTES, "a", -2.0))
    batch = sent(round_, layout_for(round_, None))
    assert (batch.epoch, batch.seq, batch.boottime_ns, batch.boot_id) == ("e", 7, 5_000, "b")
    assert batch.presence == b""
    assert doubles(batch) == (-2.0, 1.5)


def test_values_are_little_endian_doubles() -> None:
    round_ = taken((UP, "", 1.0))
    assert sent(round_, layout_for(round_, None)).values == b"\x00\x00\x00\x00\x00\x00\xf0\x3f"


def test_a_missing_series_keeps_its_column_and_loses_its_bit() -> None:
    whole = taken(*((BYTES, f"d{i}", float(i)) for i in range(9)))
    layout = layout_for(whole, None)
    without = taken(*((BYTES, f"d{i}", float(i)) for i in range(9) if i != 3))
    assert layout_for(without, layout) is layout
    batch = sent(without, layout)
    assert batch.presence == bytes([0b1111_0111, 0b0000_0001])
    assert doubles(batch) == (0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0)


def test_nan_is_sent_as_absent_and_infinity_as_itself() -> None:
    round_ = taken((BYTES, "a", math.nan), (BYTES, "b", math.inf))
    batch = sent(round_, layout_for(round_, None))
    assert batch.presence == b"\x02"
    assert doubles(batch) == (math.inf,)


def test_a_new_series_makes_a_new_layout() -> None:
    layout = layout_for(taken((UP, "", 1.0)), None)
    grown = layout_for(taken((UP, "", 1.0), (BYTES, "a", 1.0)), layout)
    assert grown is not layout
    assert len(grown.columns) == 2


@pytest.mark.parametrize(("left", "same"), [(5, True), (4, False)])
def test_a_layout_ends_when_more_than_half_of_its_series_are_gone(left: int, same: bool) -> None:
    layout = layout_for(taken(*((BYTES, f"d{i}", 1.0) for i in range(10))), None)
    fewer = taken(*((BYTES, f"d{i}", 1.0) for i in range(left)))
    assert (layout_for(fewer, layout) is layout) is same
