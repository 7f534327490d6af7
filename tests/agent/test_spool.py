from agent.batch import schema_of
from agent.round import Round
from agent.sample import Family, Kind, Sample
from agent.spool import Spool
from czuwak.v1 import ingest_pb2 as pb

MINUTE = 60 * 1_000_000_000


def schema(name: str = "up") -> pb.Schema:
    return schema_of(Round(0.0, 0, (Sample(Family(name, Kind.GAUGE, "One."), (), 1.0),)))


def add(spool: Spool, minute: float, which: pb.Schema | None = None, fill: int = 0) -> int:
    seq = spool.next_seq
    which = which or schema()
    batch = pb.Batch(seq=seq, boottime_ns=int(minute * MINUTE), schema_hash=which.hash, values=bytes(fill))
    spool.add(batch, which)
    return seq


def test_numbers_begin_at_one_and_rise_by_one() -> None:
    spool = Spool("e")
    assert [add(spool, 0), add(spool, 1), add(spool, 2)] == [1, 2, 3]
    assert (spool.first_seq, spool.next_seq, spool.batches) == (1, 4, 3)


def test_an_empty_spool_begins_at_the_next_number() -> None:
    spool = Spool("e")
    assert (spool.first_seq, spool.next_seq, spool.oldest_queued, spool.size) == (1, 1, 1, 0)


def test_a_batch_comes_out_as_it_went_in_with_its_lane() -> None:
    spool = Spool("e")
    seq = add(spool, 5, fill=16)
    batch = spool.batch(seq, pb.LANE_REPLAY)
    assert batch is not None
    assert (batch.seq, batch.boottime_ns, batch.values, batch.lane) == (1, 5 * MINUTE, bytes(16), pb.LANE_REPLAY)


def test_what_is_older_than_thirty_minutes_is_dropped_and_counted() -> None:
    spool = Spool("e")
    for minute in (0, 10, 30):
        add(spool, minute)
    assert spool.dropped == 0
    add(spool, 31)
    assert (spool.dropped, spool.first_seq) == (1, 2)
    assert spool.batch(1, pb.LANE_LIVE) is None


def test_the_oldest_go_first_when_the_size_is_over_the_limit() -> None:
    spool = Spool("e", max_bytes=3000)
    for minute in range(4):
        add(spool, minute, fill=1000)
    assert (spool.first_seq, spool.dropped) == (3, 2)
    assert spool.size <= 3000


def test_the_newest_batch_stays_even_when_it_alone_is_too_big() -> None:
    spool = Spool("e", max_bytes=100)
    add(spool, 0, fill=1000)
    assert (spool.batches, spool.dropped) == (1, 0)


def test_the_end_of_an_acknowledged_batch_is_no_loss() -> None:
    spool = Spool("e")
    add(spool, 0)
    assert spool.acknowledge(1)
    assert not spool.acknowledge(1)
    add(spool, 40)
    assert (spool.dropped, spool.batches, spool.first_seq) == (0, 1, 2)


def test_an_acknowledged_batch_can_still_be_sent_again() -> None:
    spool = Spool("e")
    add(spool, 0)
    spool.acknowledge(1)
    assert spool.batch(1, pb.LANE_REPLAY) is not None
    assert (spool.batches, spool.oldest_queued, spool.first_seq) == (0, 2, 1)


def test_a_discarded_batch_is_a_loss() -> None:
    spool = Spool("e")
    add(spool, 0)
    spool.discard(1)
    spool.discard(1)
    assert (spool.dropped, spool.batches, spool.size, spool.first_seq) == (1, 0, 0, 2)


def test_a_schema_lives_as_long_as_a_batch_that_needs_it() -> None:
    spool = Spool("e")
    old, new = schema("old"), schema("new")
    add(spool, 0, old)
    add(spool, 10, old)
    add(spool, 20, new)
    add(spool, 35, new)
    assert spool.schema(old.hash) == old
    add(spool, 45, new)
    assert spool.schema(old.hash) is None
    assert spool.schema(new.hash) == new


def test_the_size_returns_to_nothing() -> None:
    spool = Spool("e")
    for minute in range(5):
        add(spool, minute, schema(f"s{minute}"), fill=10)
    for seq in range(1, 6):
        spool.discard(seq)
    assert spool.size == 0
