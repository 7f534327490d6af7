import math

import pytest

from collector.ingest.events import (
    Beat,
    Committed,
    Counted,
    Granted,
    Limited,
    Mark,
    Refused,
)
from collector.ingest.session import MAX_OWED
from czuwak.v1 import ingest_pb2 as pb
from tests.collector.ingest.talk import LIVE, NOW, REPLAY, Wire, opened, said, with_schema


def test_a_batch_becomes_an_append_at_our_own_time(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    batch = wire.batch(schema, 1, [1.0, 2.0], boottime=1001.0)
    talk.hear(said(batch), NOW + 1.25)
    append = talk.append()
    assert append.at == pytest.approx(NOW + 1.0)
    assert (append.values, append.edge, append.replay) == (batch.values, True, False)
    assert append.mark == Mark(1, "e1", LIVE, 1)


def test_a_sample_from_before_the_hello_is_not_the_live_edge(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0], boottime=999.0)))
    assert not talk.append().edge


def test_a_batch_without_its_schema_is_asked_for_again(wire: Wire) -> None:
    talk, schema = opened(wire), wire.gauges(2)
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0])))
    assert talk.nack().reason == pb.NACK_REASON_UNKNOWN_SCHEMA
    talk.hear(said(schema))
    assert talk.done == ()
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0])))
    assert talk.append().mark.seq == 1


def test_an_ack_does_not_cover_a_batch_that_was_sent_again_and_is_not_yet_durable(wire: Wire) -> None:
    talk, schema = opened(wire), wire.gauges(2)
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0])))
    talk.hear(said(schema))
    talk.hear(said(wire.batch(schema, 2, [1.0, 2.0])))
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0])))
    assert talk.ack(Mark(1, "e1", LIVE, 2)).live_through == 0
    assert talk.ack(Mark(1, "e1", LIVE, 1)).live_through == 2


def with_presence(batch: pb.Batch, presence: bytes) -> pb.Batch:
    changed = pb.Batch()
    changed.CopyFrom(batch)
    changed.presence = presence
    return changed


def test_data_that_does_not_fit_is_refused_for_ever_and_the_stream_goes_on(wire: Wire) -> None:
    talk, schema = with_schema(wire, 9)
    nine = [1.0] * 9
    wrong = [
        wire.batch(schema, 1, [math.nan] * 9),
        wire.batch(schema, 2, [1.0] * 8),
        wire.batch(schema, 3, []),
        with_presence(wire.batch(schema, 4, nine), b"\xff"),
        with_presence(wire.batch(schema, 5, nine), b"\xff\xff"),
        with_presence(wire.batch(schema, 6, nine), b"\x01\x00"),
        with_presence(wire.batch(schema, 7, []), b"\x00\x00"),
        wire.batch(schema, 8, nine, boottime=1e6),
        wire.batch(schema, 9, nine, boottime=-1.0),
    ]
    other_boot = wire.batch(schema, 10, nine)
    other_boot.boot_id = "another"
    for seq, batch in enumerate([*wrong, other_boot], 1):
        talk.hear(said(batch))
        assert (talk.nack().reason, talk.nack().seq) == (pb.NACK_REASON_BAD_DATA, seq)
    talk.hear(said(with_presence(wire.batch(schema, 11, [5.0, math.nan]), b"\x01\x01")))
    assert talk.ack(talk.append().mark).live_through == 11
    assert talk.session.ledger.page("e1").durable.first_missing(1) == 12


def test_infinity_is_a_value(wire: Wire) -> None:
    talk, schema = with_schema(wire, 1)
    talk.hear(said(wire.batch(schema, 1, [math.inf])))
    assert talk.append().values


@pytest.mark.parametrize("seq", [0, 1_000_002, 2**63, 2**64 - 1])
def test_a_number_out_of_the_window_is_refused_without_cost(wire: Wire, seq: int) -> None:
    talk, schema = with_schema(wire)
    before = talk.session
    talk.hear(said(wire.batch(schema, seq, [1.0, 2.0])))
    assert talk.nack().reason == pb.NACK_REASON_BAD_DATA
    assert talk.session.ledger == before.ledger


def test_a_batch_over_the_limit_is_too_big(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(wire.batch(schema, 1, [1.0] * 140_000)))
    assert talk.nack().reason == pb.NACK_REASON_TOO_BIG


def test_numbers_with_too_many_gaps_are_a_quota(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    for seq in range(2, 2 * 1024 + 2, 2):
        talk.hear(Committed((Mark(1, "e1", LIVE, seq - 2),) if seq > 2 else ()))
        talk.hear(said(wire.batch(schema, seq, [1.0, 2.0])))
    assert talk.nack().reason == pb.NACK_REASON_QUOTA
    talk.hear(said(wire.batch(schema, 3, [1.0, 2.0])))
    assert talk.append().mark.seq == 3


def test_a_refused_schema_keeps_the_old_series_flowing(wire: Wire) -> None:
    talk, _ = with_schema(wire)
    grown = wire.gauges(2001)
    talk.hear(said(grown))
    assert talk.sent()[0].nack.reason == pb.NACK_REASON_QUOTA
    talk.hear(said(wire.batch(grown, 1, [float(n) for n in range(2001)])))
    columns = talk.append().columns
    assert columns is not None
    assert (columns.keep, columns.total) == ((0, 1), 2001)
    assert [labels.get("number") for labels in columns.series()] == ["0", "1"]


def test_a_refused_schema_keeps_the_old_series_flowing_after_their_label_sets_are_put_away(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0])))
    grown = wire.gauges(2001)
    talk.hear(said(grown))
    for seq in (2, 3):
        talk.hear(said(wire.batch(grown, seq, [float(n) for n in range(2001)])))
        columns = talk.append().columns
        assert columns is not None
        assert columns.keep == (0, 1)
        assert [labels.get("number") for labels in columns.series()] == ["0", "1"]


def test_batches_of_a_schema_with_nothing_known_are_refused_for_ever(wire: Wire) -> None:
    talk = opened(wire)
    forged = wire.schema(wire.series("m", host="another"))
    talk.hear(said(forged))
    assert talk.nack().reason == pb.NACK_REASON_BAD_DATA
    talk.hear(said(wire.batch(forged, 1, [1.0])))
    assert talk.nack().reason == pb.NACK_REASON_BAD_DATA


def test_replay_beyond_twice_the_credits_waits(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    for seq in range(1, 513):
        talk.hear(said(wire.batch(schema, seq, [1.0, 2.0], lane=REPLAY)))
    talk.hear(said(wire.batch(schema, 513, [1.0, 2.0], lane=REPLAY)))
    nack = talk.nack()
    assert (nack.reason, nack.retry_after_ms) == (pb.NACK_REASON_RETRY_AFTER, 1000)
    talk.hear(said(wire.batch(schema, 514, [1.0, 2.0])))
    assert talk.append().mark.seq == 514


def test_what_is_granted_counts_beyond_what_was_taken_and_is_told_at_once(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(Granted(2))
    assert talk.sent()[0].ack.replay_credits == 2
    for seq in (1, 2):
        talk.hear(said(wire.batch(schema, seq, [1.0, 2.0], lane=REPLAY)))
    talk.hear(said(wire.batch(schema, 3, [1.0, 2.0])))
    assert talk.ack(Mark(1, "e1", LIVE, 3)).replay_credits == 2
    talk.hear(Granted(5))
    assert talk.sent()[0].ack.replay_credits == 7
    assert talk.ack(Mark(1, "e1", REPLAY, 1), Mark(1, "e1", REPLAY, 2)).replay_credits == 5
    talk.hear(Granted(5))
    assert not talk.done


def test_a_refused_sender_waits_and_its_heartbeats_do_not(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(Refused(NOW + 15, 15_000))
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0])))
    nack = talk.nack()
    assert (nack.reason, nack.retry_after_ms) == (pb.NACK_REASON_RETRY_AFTER, 15_000)
    talk.hear(said(pb.Heartbeat(boottime_ns=int(1000e9))))
    assert any(isinstance(action, Beat) for action in talk.done)
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0])), NOW + 15)
    assert talk.append().mark.seq == 1


def test_series_over_the_limit_are_told_once_and_when_it_is_over(wire: Wire) -> None:
    talk, _ = with_schema(wire)
    talk.hear(said(wire.gauges(2001)))
    assert Limited(1999) in talk.done
    talk.hear(said(wire.schema(*(wire.series("other", number=str(n)) for n in range(1999)))))
    assert talk.done == (Limited(0),)


def test_an_ack_waits_for_the_commit_and_names_each_lane(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0], lane=REPLAY)))
    talk.hear(said(wire.batch(schema, 9, [1.0, 2.0])))
    assert talk.sent() == []
    ack = talk.ack(Mark(1, "e1", REPLAY, 1), Mark(1, "e1", LIVE, 9))
    assert (ack.live_through, ack.replay_through) == (9, 1)


def test_an_ack_never_passes_a_batch_that_is_expected_again(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(wire.batch(wire.gauges(3), 1, [1.0, 2.0, 3.0])))
    talk.hear(said(wire.batch(schema, 2, [1.0, 2.0])))
    assert talk.ack(Mark(1, "e1", LIVE, 2)).live_through == 0
    talk.hear(said(pb.Heartbeat(boottime_ns=int(1000e9), oldest_seq=2)))
    talk.hear(said(wire.batch(schema, 3, [1.0, 2.0])))
    assert talk.ack(Mark(1, "e1", LIVE, 3)).live_through == 3


def test_a_duplicate_brings_no_data_but_its_ack_after_the_commit(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    batch = wire.batch(schema, 1, [1.0, 2.0])
    talk.hear(said(batch))
    talk.hear(said(batch))
    append = talk.append()
    assert (append.duplicate, append.columns, append.values) == (True, None, b"")
    assert talk.ack(append.mark).live_through == 1


def test_an_older_streams_commit_moves_the_books_but_not_this_streams_ack(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0])))
    newer = opened(wire, wire.hello(first=1, following=2), talk.session, gen=2)
    assert newer.hear(Committed((Mark(1, "e1", LIVE, 1),))) == ()
    assert 1 in newer.session.ledger.page("e1").durable


def test_schemas_that_are_never_used_do_not_pile_up(wire: Wire) -> None:
    talk = opened(wire)
    for count in range(1, 20):
        talk.hear(said(wire.gauges(count)))
        talk.hear(said(wire.schema(wire.series("m", host=str(count)))))
    assert len(talk.session.schemas) == 4
    assert len(talk.session.refused) == 4


def test_an_agent_that_never_sends_what_it_owes_is_cut(wire: Wire) -> None:
    talk, schema = opened(wire), wire.gauges(2)
    for seq in range(1, MAX_OWED + 2):
        talk.hear(said(wire.batch(schema, seq, [1.0, 2.0])))
    assert talk.close().code == "RESOURCE_EXHAUSTED"


def test_counted_results_name_what_became_of_a_message(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0])))
    assert [a.result for a in talk.done if isinstance(a, Counted)] == ["live"]
