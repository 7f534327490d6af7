import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.ingest.errors import PayloadError
from collector.ingest.stamp import MAX_SERIES, RESERVED_LABELS, Identity, known_columns, schema_hash, stamp
from collector.labels import Labels
from czuwak.v1 import ingest_pb2 as pb

Wire = Any  # the class in this folder's conftest.py, which import mode importlib does not let us import

ME = Identity("a-1", "pc1.acme", "pc1", "acme", "waw", "server")
STAMPED = {"instance": "pc1.acme", "job": "node", "host": "pc1", "company": "acme", "site": "waw", "class": "server"}


def refusal(schema: pb.Schema) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        stamp(schema, ME)
    return caught.value


def test_the_identity_is_stamped_on_every_series(wire: Wire) -> None:
    schema = wire.schema(wire.series("node_load1"), wire.series("node_filesystem_avail_bytes", mountpoint="/"))
    assert stamp(schema, ME) == (
        Labels.of(STAMPED, __name__="node_load1"),
        Labels.of(STAMPED, __name__="node_filesystem_avail_bytes", mountpoint="/"),
    )


@pytest.mark.parametrize("name", sorted(RESERVED_LABELS | {"__name__", "__address__"}))
def test_a_label_only_the_collector_sets_is_refused(wire: Wire, name: str) -> None:
    error = refusal(wire.schema(wire.series("node_load1", **{name: "x"})))
    assert error.reason == pb.NACK_REASON_BAD_DATA
    assert name in error.detail


@pytest.mark.parametrize(
    "name",
    ["", "1x", "a b", "a:b", "ALERTS", "up", "czuwak_host_presence", "czuwak_collector_x", "ż", "x" * 129, 'x"}\n'],
)
def test_a_wrong_metric_name_is_refused(wire: Wire, name: str) -> None:
    assert refusal(wire.schema(wire.series(name))).reason == pb.NACK_REASON_BAD_DATA


@pytest.mark.parametrize("name", ["", "1x", "a-b", "a:b", "ż", "x" * 129])
def test_a_wrong_label_name_is_refused(wire: Wire, name: str) -> None:
    assert refusal(wire.schema(wire.series("node_load1", **{name: "x"}))).reason == pb.NACK_REASON_BAD_DATA


def test_limits_are_refused_as_a_quota(wire: Wire) -> None:
    assert refusal(wire.gauges(MAX_SERIES + 1)).reason == pb.NACK_REASON_QUOTA
    assert refusal(wire.schema(wire.series("m", x="ą" * 257))).reason == pb.NACK_REASON_QUOTA
    many = {f"l{n}": "v" for n in range(65)}
    assert refusal(wire.schema(wire.series("m", **many))).reason == pb.NACK_REASON_QUOTA
    assert len(stamp(wire.gauges(MAX_SERIES), ME)) == MAX_SERIES


def test_more_than_128_different_label_names_are_refused(wire: Wire) -> None:
    allowed = [wire.series("m", **{f"label{i}": "x"}) for i in range(128)]
    assert len(stamp(wire.schema(*allowed), ME)) == 128
    error = refusal(wire.schema(*allowed, wire.series("m", one_more="x")))
    assert error.reason == pb.NACK_REASON_QUOTA
    assert error.detail == "The schema has 129 different label names; 128 are the limit."


def test_values_are_composed_before_they_are_compared(wire: Wire) -> None:
    decomposed = wire.schema(wire.series("m", x="z\u0307"))
    assert stamp(decomposed, ME)[0].get("x") == "ż"
    both = wire.schema(wire.series("m", x="z\u0307"), wire.series("m", x="ż"))
    assert "twice" in refusal(both).detail


def test_a_zero_byte_a_double_label_and_a_wrong_hash_are_refused(wire: Wire) -> None:
    assert "zero byte" in refusal(wire.schema(wire.series("m", x="a\0b"))).detail
    double = pb.Series(name="m", labels=[pb.Label(name="x", value="1"), pb.Label(name="x", value="2")])
    assert "twice" in refusal(wire.schema(double)).detail
    wrong = wire.gauges(2)
    wrong.hash = b"0" * 16
    assert "hash" in refusal(wrong).detail
    assert "no series" in refusal(wire.schema()).detail


def test_series_known_before_are_found_in_a_refused_schema(wire: Wire) -> None:
    known = stamp(wire.gauges(2), ME)
    bad = wire.schema(
        wire.series("node_thing", number="1"),
        wire.series("node_thing", host="forged"),
        wire.series("new"),
        wire.series("node_thing", number="0"),
    )
    assert known_columns(bad, ME, known) == {0: known[1], 3: known[0]}


texts = st.text(max_size=20)


@given(st.lists(st.tuples(texts, st.dictionaries(texts, texts, max_size=4)), max_size=6))
def test_whatever_passes_carries_exactly_our_identity(drawn: list[tuple[str, dict[str, str]]]) -> None:
    series = [
        pb.Series(name=name, labels=[pb.Label(name=n, value=v) for n, v in labels.items()]) for name, labels in drawn
    ]
    schema = pb.Schema(series=series)
    schema.hash = schema_hash(schema)
    try:
        stamped = stamp(schema, ME)
    except PayloadError:
        return
    for labels in stamped:
        assert labels.keep(*STAMPED).as_dict() == STAMPED
        assert set("".join(n for n, _ in labels)) <= set(string.ascii_letters + string.digits + "_")
