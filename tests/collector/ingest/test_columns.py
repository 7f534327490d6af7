"""An accepted schema at rest gives back exactly the label sets it was made with."""

from typing import Any

from collector.ingest.columns import columns_of
from collector.ingest.stamp import stamp

Wire = Any  # the class in this folder's conftest.py, which import mode importlib does not let us import


def test_label_sets_come_back_as_they_were(wire: Wire) -> None:
    schema = wire.schema(wire.series("node_thing", number="ż"), wire.series("node_thing", number="e\u0301"))
    stamped = stamp(schema, wire.identity)
    columns = columns_of(schema, wire.identity)
    assert columns.series() == stamped
    assert [labels.as_dict() for labels in columns.own()] == [
        {"__name__": "node_thing", "number": "ż"},
        {"__name__": "node_thing", "number": "\u00e9"},
    ]
    assert (columns.total, columns.keep) == (2, None)


def test_of_a_refused_schema_only_what_is_kept_comes_back(wire: Wire) -> None:
    schema = wire.schema(wire.series("bad-name"), wire.series("node_a"), wire.series("node_b"))
    good = stamp(wire.schema(wire.series("node_b")), wire.identity)
    columns = columns_of(schema, wire.identity, (2,))
    assert columns.series() == good
    assert (columns.total, columns.keep) == (3, (2,))


def test_one_schema_of_two_identities_has_two_keys(wire: Wire) -> None:
    schema, me = wire.gauges(2), wire.identity
    other = type(me)(me.agent_id, me.instance, me.host, me.company, "elsewhere", me.class_)
    assert columns_of(schema, me).key != columns_of(schema, other).key


def test_agents_with_the_same_series_share_their_words_and_label_sets(wire: Wire) -> None:
    schema, me = wire.gauges(3), wire.identity
    other = type(me)(me.agent_id, "i2", "h2", me.company, me.site, me.class_)
    mine, theirs = columns_of(schema, me), columns_of(schema, other)
    assert mine.packed is theirs.packed
    assert mine.own() is theirs.own()
    assert [labels.get("instance") for labels in theirs.series()] == ["i2"] * 3


def test_a_schema_at_rest_weighs_a_fraction(wire: Wire) -> None:
    schema = wire.gauges(500)
    columns = columns_of(schema, wire.identity)
    assert len(columns.packed) < schema.ByteSize() / 3
