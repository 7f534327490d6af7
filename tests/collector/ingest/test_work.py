"""I13: no message makes more work than its size allows. Work is counted in steps of our code, which no clock moves."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collector.ingest.columns import _packed
from collector.ingest.events import Append, Committed, Mark
from collector.ingest.service import MAX_MESSAGE
from collector.ingest.stamp import MAX_LABELS, MAX_SERIES, own_series
from czuwak.v1 import ingest_pb2 as pb
from tests.collector.ingest.talk import NOW, Talk, Wire, opened, said
from tests.collector.ingest.test_lookback import Room

# A step is a line or a call of Python; a million take about 0.1 s. What a message may cost grows with its bytes and
# with what its host may have, and the labels that are looked at have an end of their own: so the largest message stays
# under a second.
STEPS = 400_000
STEPS_PER_BYTE = 10
MOST_STEPS = 6_000_000

ACCENTS = "\u0301\u0316"  # out of order, each pair of them
Message = pb.Hello | pb.Schema | pb.Batch | pb.Heartbeat | pb.GoingAway


class Steps:
    """Lines and calls while `counted` runs."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, _frame: FrameType, _event: str, _arg: object) -> "Steps":
        self.number += 1
        return self


@contextmanager
def counted() -> Iterator[Steps]:
    steps, before = Steps(), sys.gettrace()
    sys.settrace(steps)
    try:
        yield steps
    finally:
        sys.settrace(before)


class Shape(NamedTuple):
    """A schema: how many series, labels of each, and what is odd about them."""

    series: int
    labels: int
    value: str
    same_names: bool = True  # of the labels, in every series
    twins: bool = False  # the last two series are one
    own_name: bool = False  # each series has a metric name of its own

    def made(self, wire: Wire) -> pb.Schema:
        made = [self._one(wire, n) for n in range(self.series)]
        if self.twins and made:
            made.append(made[-1])
        schema: pb.Schema = wire.schema(*made)
        return schema

    def _one(self, wire: Wire, number: int) -> pb.Series:
        shift = 0 if self.same_names else number
        labels = {f"l{shift + n}": self.value for n in range(self.labels)} | {"z": str(number)}
        series: pb.Series = wire.series(f"node_{number}" if self.own_name else "node_thing", **labels)
        return series


SHAPES = st.builds(
    Shape,
    st.sampled_from([0, 1, 30, MAX_SERIES - 1, MAX_SERIES + 1]),
    st.sampled_from([0, 1, 6, MAX_LABELS, 300]),
    st.sampled_from(["", "x", "x" * 513, "ż", "a" + ACCENTS * 14, ACCENTS * 120, "\0"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
).filter(lambda shape: shape.series * (shape.labels + 1) <= 6_000)
TEXTS = st.sampled_from([0, 1, 2, 70, 100_000]).map(lambda length: "e" * length)
NUMBERS = st.sampled_from([0, 1, 2, 900, 5000, 2**40, 2**63 - 1])
BYTES = st.sampled_from([0, 1, 8, 16, 250, 16_000, 1_200_000]).map(lambda length: b"\x3f" * length)
BATCHES = st.builds(
    pb.Batch,
    epoch=TEXTS,
    seq=NUMBERS,
    lost_before=NUMBERS,
    boottime_ns=NUMBERS,
    wall_ns=NUMBERS,
    suspended_ns=NUMBERS,
    lane=st.sampled_from([pb.LANE_UNSPECIFIED, pb.LANE_LIVE, pb.LANE_REPLAY]),
    presence=BYTES,
    values=BYTES,
    boot_id=TEXTS,
)
BEATS = st.builds(pb.Heartbeat, boottime_ns=NUMBERS, oldest_seq=NUMBERS, dropped_total=NUMBERS)
GOODBYES = st.builds(
    pb.GoingAway, reason=st.integers(0, 9), expected_back_seconds=NUMBERS.map(lambda number: number % 2**32)
)
HELLOS = st.builds(pb.Hello, epoch=TEXTS, boot_id=TEXTS, first_seq=NUMBERS, next_seq=NUMBERS, agent_version=TEXTS)


class Door:
    """A stream whose batches reach an engine."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.room = Room(wire, NOW)
        self.talk: Talk = opened(wire)

    def hear(self, *messages: Message) -> None:
        """Within what the messages may cost. A schema's work is partly done with its first batch."""
        heard = [said(message) for message in messages]
        own_series.cache_clear()  # as if nobody had said it before
        _packed.cache_clear()
        with counted() as steps:
            for one in heard:
                self.talk.hear(one)
                marks = [self.take(action) for action in self.talk.done if isinstance(action, Append)]
                self.room.turn(1.0)
                self.talk.hear(Committed(tuple(marks)))
        assert steps.number <= min(STEPS + STEPS_PER_BYTE * sum(one.size for one in heard), MOST_STEPS)

    def take(self, append: Append) -> Mark:
        self.room.engine.append("a-1", "pc1", 15.0, append, list[Mark]().extend)
        return append.mark


def filled(wire: Wire, schema: pb.Schema, seq: int) -> pb.Batch:
    batch: pb.Batch = wire.batch(schema, seq, [1.0] * len(schema.series))
    return batch


@given(shapes=st.lists(SHAPES, min_size=1, max_size=3))
@example(shapes=[Shape(MAX_SERIES, 1, "x"), Shape(MAX_SERIES, MAX_LABELS - 1, "x")])
@example(shapes=[Shape(MAX_SERIES, 1, "x"), Shape(MAX_SERIES - 1, MAX_LABELS - 1, "x", twins=True)])
@example(shapes=[Shape(MAX_SERIES, 6, "x"), Shape(10 * MAX_SERIES, 16, "x")])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_i13_no_schema_makes_more_work_than_its_size_allows(wire: Wire, shapes: list[Shape]) -> None:
    door = Door(wire)
    for seq, shape in enumerate(shapes, 1):
        schema = shape.made(wire)
        if schema.ByteSize() < MAX_MESSAGE:
            door.hear(schema, filled(wire, schema, seq))


@given(
    messages=st.lists(BATCHES | BEATS | GOODBYES | HELLOS, min_size=1, max_size=5), series=st.sampled_from([1, 2000])
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_i13_no_batch_or_word_makes_more_work_than_its_size_allows(
    wire: Wire, messages: list[Message], series: int
) -> None:
    door, schema = Door(wire), wire.gauges(series)
    door.hear(schema, filled(wire, schema, 1))
    for message in messages:
        if isinstance(message, pb.Batch):
            message.schema_hash = schema.hash
        door.hear(message)


@given(steps=st.lists(st.sampled_from([1, 2, 3, 1000]), min_size=1, max_size=2), lost=st.booleans())
@settings(max_examples=5, deadline=None)
def test_i13_numbers_full_of_gaps_make_no_more_work_than_others(wire: Wire, steps: list[int], lost: bool) -> None:
    door, schema, seq = Door(wire), wire.gauges(1), 0
    door.hear(schema)
    for step in steps:
        for _ in range(600):
            seq += step
            batch = filled(wire, schema, seq)
            batch.lost_before = int(lost) * (step - 1) // 2
            door.talk.hear(said(batch))
            marks = [action.mark for action in door.talk.done if isinstance(action, Append)]
            door.talk.hear(Committed(tuple(marks)))
    door.hear(filled(wire, schema, seq + 1))


ASKED: list[Callable[[int], str]] = [lambda n: "a" + ACCENTS * n, lambda n: "a" + "\u0301" * n + "\u0316" * n]


@pytest.mark.parametrize("accented", ASKED)
def test_i13_accents_that_would_have_to_be_put_in_order_are_refused(wire: Wire, accented: Callable[[int], str]) -> None:
    """The order is made inside `unicodedata`, where no step is counted, in the square of their number."""
    talk = opened(wire)
    for count, reason in (
        (15, None),
        (16, pb.NACK_REASON_BAD_DATA),
        (127, pb.NACK_REASON_BAD_DATA),
        (128, pb.NACK_REASON_QUOTA),
    ):
        talk.hear(said(wire.schema(wire.series("m", path=accented(count)))))
        assert [message.nack.reason for message in talk.sent()] == ([] if reason is None else [reason])
