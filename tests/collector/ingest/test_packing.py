"""A packed schema is its plain one; whatever else somebody puts there is refused, and cheaply."""

import contextlib
import tracemalloc
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector.ingest.errors import PayloadError
from collector.ingest.events import Counted
from collector.ingest.packing import MAX_BYTES, unpacked
from collector.ingest.session import Phase
from czuwak.v1 import ingest_pb2 as pb
from tests.collector.ingest.talk import Wire, opened, said

WORDS = st.text("abcdefghij_ż", max_size=20)
SERIES = st.builds(
    pb.Series,
    name=WORDS,
    labels=st.lists(st.builds(pb.Label, name=WORDS, value=WORDS), max_size=4),
    kind=st.sampled_from([pb.METRIC_KIND_GAUGE, pb.METRIC_KIND_COUNTER]),
)


@given(st.lists(SERIES, min_size=1, max_size=20))
def test_what_was_packed_comes_out_as_it_was(wire: Wire, series: list[pb.Series]) -> None:
    schema = wire.schema(*series)
    assert unpacked(wire.packed(schema)) == schema
    assert unpacked(schema) == schema


def test_a_stream_takes_the_same_columns_packed_and_plain(wire: Wire) -> None:
    schema = wire.gauges(500)
    packed, plain = opened(wire), opened(wire)
    assert packed.hear(said(wire.packed(schema))) == plain.hear(said(schema)) == ()
    assert packed.session.schemas == plain.session.schemas
    packed.hear(said(wire.batch(schema, 1, [1.0] * 500)))
    assert packed.append().columns == plain.session.schemas[schema.hash]


def test_a_packed_schema_keeps_to_the_limits_of_a_plain_one(wire: Wire) -> None:
    for schema in (wire.gauges(2001), wire.schema(wire.series("node_load1", host="another"))):
        packed, plain = opened(wire), opened(wire)
        assert packed.hear(said(wire.packed(schema))) == plain.hear(said(schema))
        assert packed.nack().reason != pb.NACK_REASON_UNSPECIFIED


def test_a_packed_schema_over_the_limit_leaves_what_was_known(wire: Wire) -> None:
    talk, less, more = opened(wire), wire.gauges(2), wire.gauges(2001)
    talk.hear(said(wire.packed(less)))
    talk.hear(said(wire.packed(more)))
    talk.hear(said(wire.batch(more, 1, [1.0] * 2001)))
    columns = talk.append().columns
    assert columns is not None
    assert columns.keep == (0, 1)


def refused(wire: Wire, schema: pb.Schema) -> str:
    """What the refusal says; the stream has to live on and to count it."""
    talk = opened(wire)
    counted = [action for action in talk.hear(said(schema)) if isinstance(action, Counted)]
    assert [action.result for action in counted] == ["schema_refused"]
    assert talk.nack().reason == pb.NACK_REASON_BAD_DATA
    assert talk.session.phase is Phase.LIVE
    good = wire.gauges(1)
    talk.hear(said(wire.packed(good)))
    talk.hear(said(wire.batch(good, 1, [1.0])))
    assert talk.append().columns is not None
    return counted[0].detail


@given(st.data())
@settings(deadline=None)
def test_every_cut_and_every_tail_is_refused(wire: Wire, data: st.DataObject) -> None:
    schema = wire.packed(wire.gauges(40))
    cut = data.draw(st.integers(1, len(schema.packed) - 1))
    tail = data.draw(st.binary(min_size=1, max_size=40))
    for packed in (schema.packed[:cut], schema.packed + tail):
        assert "cut off" in refused(wire, pb.Schema(hash=schema.hash, packed=packed))


@given(flips=st.dictionaries(st.integers(0, 200), st.integers(1, 255), min_size=1, max_size=3))
@settings(deadline=None)
def test_a_damaged_one_is_refused_or_still_the_same(wire: Wire, flips: dict[int, int]) -> None:
    schema = wire.gauges(40)
    packed = bytearray(wire.packed(schema).packed)
    for at, bits in flips.items():
        packed[at % len(packed)] ^= bits
    with contextlib.suppress(PayloadError):
        assert unpacked(pb.Schema(hash=schema.hash, packed=bytes(packed))) == schema


@given(st.binary(min_size=1, max_size=300))
@example(b"\x12\x05node_")  # cut off
@example(b"\x12\x03\x0a\x01\xff")  # not UTF-8
@settings(deadline=None)
def test_no_words_make_the_session_fail(wire: Wire, words: bytes) -> None:
    assert refused(wire, pb.Schema(hash=b"h" * 16, packed=zlib.compress(words)))
    assert refused(wire, pb.Schema(hash=b"h" * 16, packed=words))


def test_nothing_but_series_is_taken(wire: Wire) -> None:
    schema = wire.gauges(2)
    packed = wire.packed(schema)
    again = pb.Schema(hash=schema.hash, packed=zlib.compress(packed.SerializeToString()))
    assert "more than series" in refused(wire, again)
    named = pb.Schema(hash=schema.hash, packed=zlib.compress(schema.SerializeToString()))
    assert "more than series" in refused(wire, named)
    assert "twice" in refused(wire, pb.Schema(hash=schema.hash, packed=packed.packed, series=schema.series))
    assert "hash" in refused(wire, pb.Schema(hash=b"h" * 16, packed=packed.packed))


@pytest.mark.parametrize("unit", [b"\x00", b"\x12\x00"])
def test_a_bomb_costs_no_more_than_the_limit(wire: Wire, unit: bytes) -> None:
    bomb = pb.Schema(hash=b"h" * 16, packed=zlib.compress(unit * (64 << 20), 9))
    tracemalloc.start()
    try:
        assert str(MAX_BYTES) in refused(wire, bomb)
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_BYTES
    finally:
        tracemalloc.stop()


def test_the_limit_itself_is_taken_and_one_byte_more_is_not(wire: Wire) -> None:
    name = "n" * (MAX_BYTES - 8)  # tags and lengths of series and name
    assert len(pb.Schema(series=[wire.series(name)]).SerializeToString()) == MAX_BYTES + 2
    fits, over = wire.schema(wire.series(name[2:])), wire.schema(wire.series(name[1:]))
    assert unpacked(wire.packed(fits)) == fits
    assert "longer" in refused(wire, wire.packed(over))
