import pytest

from collector.ingest.events import (
    Committed,
    Lost,
    Mark,
    Opened,
    Terms,
)
from collector.ingest.session import begin, known
from czuwak.v1 import ingest_pb2 as pb
from tests.collector.ingest.talk import LIVE, NOW, REPLAY, Talk, Wire, opened, said, with_schema


def test_numbers_that_never_come_leave_no_gap(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    for seq in range(4, 4004, 4):
        batch = wire.batch(schema, seq, [1.0, 2.0], lane=REPLAY)
        batch.lost_before = 3
        talk.hear(said(batch))
        talk.hear(Committed((Mark(1, "e1", REPLAY, seq),)))
    page = talk.session.ledger.page("e1")
    assert (page.seen.spans, page.durable.spans) == (((0, 4000),), ((0, 4000),))


def test_a_batch_expected_again_is_not_waited_for_once_it_is_lost(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(wire.batch(wire.gauges(3), 1, [1.0, 2.0, 3.0])))
    batch = wire.batch(schema, 2, [1.0, 2.0])
    batch.lost_before = 1
    talk.hear(said(batch))
    assert talk.ack(Mark(1, "e1", LIVE, 2)).live_through == 2


def test_a_loss_larger_than_the_number_itself_goes_back_to_the_beginning(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    batch = wire.batch(schema, 5, [1.0, 2.0])
    batch.lost_before = 2**63
    talk.hear(said(batch))
    assert talk.session.ledger.page("e1").seen.spans == ((0, 5),)


def test_what_an_agent_dropped_is_told_when_it_grows(wire: Wire) -> None:
    hello = wire.hello()
    hello.dropped_total = 7
    talk = opened(wire, hello)
    assert Lost("e1", 7) in talk.done
    talk.hear(said(pb.Heartbeat(boottime_ns=int(1000e9), dropped_total=7)))
    assert not any(isinstance(action, Lost) for action in talk.done)
    talk.hear(said(pb.Heartbeat(boottime_ns=int(1000e9), dropped_total=9)))
    assert Lost("e1", 9) in talk.done


def earlier(wire: Wire, schema: pb.Schema, wall: float, lane: pb.Lane.ValueType = REPLAY) -> pb.Batch:
    batch: pb.Batch = wire.batch(schema, 1, [1.0, 2.0], boottime=90_000.0, lane=lane)
    batch.boot_id, batch.wall_ns = "b0", int(wall * 1e9)
    return batch


def test_a_batch_of_an_earlier_boot_is_put_on_our_time_line_by_the_wall_clock(wire: Wire) -> None:
    hello = wire.hello()
    hello.wall_ns = int((NOW + 400) * 1e9)  # the agent's wall clock is 400 s ahead of ours
    talk, schema = opened(wire, hello), wire.gauges(2)
    talk.hear(said(schema))
    talk.hear(said(earlier(wire, schema, NOW + 400 - 5000)))
    assert talk.append().at == pytest.approx(NOW - 5000)


@pytest.mark.parametrize("wall", [NOW + 86_400, NOW, NOW - 999])
def test_an_earlier_boot_is_never_later_than_the_start_of_this_one(wire: Wire, wall: float) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(earlier(wire, schema, wall)))
    assert talk.append().at == pytest.approx(NOW - 1000)


def test_an_earlier_boot_is_never_the_live_edge_whatever_its_lane(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(earlier(wire, schema, NOW, LIVE)))
    assert not talk.append().edge
    assert talk.session.newest == 0.0


def test_a_batch_of_an_earlier_boot_without_its_wall_clock_is_refused_for_good(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(earlier(wire, schema, 0.0)))
    assert talk.nack().reason == pb.NACK_REASON_BAD_DATA
    assert 1 in talk.session.ledger.page("e1").durable


def slept(wire: Wire, schema: pb.Schema, seq: int, seconds: float, boottime: float = 1001.0) -> pb.Batch:
    batch: pb.Batch = wire.batch(schema, seq, [1.0, 2.0], boottime=boottime)
    batch.suspended_ns = int(seconds * 1e9)
    return batch


def test_a_batch_after_a_sleep_says_how_long_it_was(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(slept(wire, schema, 1, 100.0)))
    assert talk.append().slept == 0.0  # nothing is known of before
    talk.hear(said(slept(wire, schema, 2, 100.4, 1002.0)))
    assert talk.append().slept == 0.0
    talk.hear(said(slept(wire, schema, 3, 700.4, 1003.0)))
    assert talk.append().slept == pytest.approx(600.0)


def test_a_sleep_between_two_streams_is_seen(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(slept(wire, schema, 1, 100.0)))
    again = opened(wire, wire.hello(following=2), talk.session, gen=2)
    again.hear(said(slept(wire, schema, 2, 160.0)))
    assert again.append().slept == pytest.approx(60.0)


@pytest.mark.parametrize(("boot", "seconds"), [("b1", 60.0), ("b0", 0.0)])
def test_after_our_own_restart_the_database_remembers_how_long_that_boot_had_slept(
    wire: Wire, boot: str, seconds: float
) -> None:
    talk = Talk(known(begin(wire.identity, Terms(), NOW), NOW - 5, boot, 100.0))
    talk.hear(said(wire.hello()))
    talk.hear(Opened(1))
    schema = wire.gauges(2)
    talk.hear(said(schema))
    talk.hear(said(slept(wire, schema, 1, 160.0)))
    assert talk.append().slept == pytest.approx(seconds)


def test_what_the_database_saw_before_our_restart_was_judged_and_what_our_books_know_was_not(wire: Wire) -> None:
    talk = Talk(known(begin(wire.identity, Terms(), NOW), NOW - 5, "", 0.0))
    talk.hear(said(wire.hello()))
    talk.hear(Opened(1))
    assert talk.session.judged == NOW - 5
    again = opened(wire, wire.hello(), talk.session, gen=2)
    assert again.session.judged == 0.0


def test_a_late_message_does_not_move_the_time_line_but_drift_does(wire: Wire) -> None:
    talk = opened(wire)
    talk.hear(said(pb.Heartbeat(boottime_ns=int(1030e9))), NOW + 30.9)
    assert talk.session.anchor == pytest.approx(NOW - 1000.0)
    talk.hear(said(pb.Heartbeat(boottime_ns=int(1060e9))), NOW + 64.0)
    assert talk.session.anchor == pytest.approx(NOW - 996.0)


def test_what_a_hello_that_was_read_late_makes_too_late_is_taken_as_new(wire: Wire) -> None:
    talk = opened(wire)  # boottime 1000 s, read at NOW and not when it was said
    schema = wire.gauges(1)
    talk.hear(said(schema))
    talk.hear(said(wire.batch(schema, 1, [1.0], boottime=1200.0)), NOW + 1)
    assert talk.append().at == NOW + 1
    talk.hear(said(wire.batch(schema, 2, [1.0], boottime=1603.0)), NOW + 2)
    assert talk.nack().reason == pb.NACK_REASON_BAD_DATA
