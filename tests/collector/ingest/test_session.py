import math
import time
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from collector.ingest.events import (
    Action,
    Append,
    Beat,
    Close,
    Committed,
    Counted,
    CreditsSet,
    Drained,
    Event,
    Fenced,
    Goodbye,
    IntervalSet,
    Limited,
    Lost,
    Mark,
    Opened,
    OpenSession,
    Refused,
    Revoked,
    Said,
    Send,
    Terms,
    Ticked,
)
from collector.ingest.session import MAX_LIVE, MAX_OWED, TABLE, Phase, Session, begin, known, step
from czuwak.v1 import ingest_pb2 as pb

Wire = Any  # the class in this folder's conftest.py, which import mode importlib does not let us import

NOW = 1_800_000_000.0
LIVE, REPLAY = pb.LANE_LIVE, pb.LANE_REPLAY


def said(message: pb.Hello | pb.Schema | pb.Batch | pb.Heartbeat | pb.GoingAway) -> Said:
    wrapped = pb.StreamRequest()
    name = next(f.name for f in pb.StreamRequest.DESCRIPTOR.fields if f.message_type is message.DESCRIPTOR)
    getattr(wrapped, name).CopyFrom(message)
    return Said(wrapped, wrapped.ByteSize())


class Talk:
    """A session and everything it did."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.done: tuple[Action, ...] = ()

    def hear(self, event: Event, at: float = NOW) -> tuple[Action, ...]:
        self.session, self.done = step(self.session, event, at)
        return self.done

    def sent(self) -> list[pb.StreamResponse]:
        return [action.message for action in self.done if isinstance(action, Send)]

    def append(self) -> Append:
        return next(action for action in self.done if isinstance(action, Append))

    def nack(self) -> pb.Nack:
        (message,) = self.sent()
        return message.nack

    def ack(self, *marks: Mark) -> pb.Ack:
        self.hear(Committed(marks))
        (message,) = self.sent()
        return message.ack

    def close(self) -> Close:
        return next(action for action in self.done if isinstance(action, Close))


def opened(wire: Wire, hello: pb.Hello | None = None, previous: Session | None = None, gen: int = 1) -> Talk:
    talk = Talk(begin(wire.identity, Terms(), NOW, previous))
    talk.hear(said(hello or wire.hello()))
    talk.hear(Opened(gen))
    return talk


def with_schema(wire: Wire, count: int = 2) -> tuple[Talk, pb.Schema]:
    talk, schema = opened(wire), wire.gauges(count)
    talk.hear(said(schema))
    return talk, schema


# --- handshake ---


def test_a_first_hello_is_welcomed_and_asked_for_the_last_half_hour(wire: Wire) -> None:
    talk = Talk(begin(wire.identity, Terms(), NOW))
    hello = wire.hello(first=3, following=9, boottime=5000.0)
    assert talk.hear(said(hello)) == (OpenSession(hello),)
    talk.hear(Opened(7))
    welcome = talk.sent()[0].welcome
    assert (welcome.protocol, welcome.session_gen, welcome.resume_seq) == (1, 7, 3)
    assert welcome.rewind_from_boottime_ns == 3200 * 10**9
    assert welcome.interval_seconds == 15.0
    assert welcome.max_series == 2000


def test_a_rewind_past_the_boot_asks_for_everything(wire: Wire) -> None:
    talk = opened(wire, wire.hello(boottime=10.0))
    assert talk.sent()[0].welcome.rewind_from_boottime_ns == 1


def test_an_agent_we_remember_resumes_where_it_is_durable(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    for seq in (1, 2, 3):
        talk.hear(said(wire.batch(schema, seq, [1.0, 2.0])))
    talk.hear(Committed((Mark(1, "e1", LIVE, 1), Mark(1, "e1", LIVE, 2))))
    again = opened(wire, wire.hello(first=1, following=4), talk.session, gen=2)
    welcome = again.sent()[0].welcome
    assert (welcome.resume_seq, welcome.rewind_from_boottime_ns) == (3, 0)


def test_the_clock_offset_is_told(wire: Wire) -> None:
    talk = opened(wire, wire.hello())
    assert next(a for a in talk.done if isinstance(a, Beat)).offset == pytest.approx(0.0)
    late = wire.hello()
    late.wall_ns = int((NOW - 400) * 1e9)
    talk = opened(wire, late)
    assert next(a for a in talk.done if isinstance(a, Beat)).offset == pytest.approx(-400.0)


@pytest.mark.parametrize(("low", "high"), [(2, 3), (0, 0)])
def test_an_agent_that_speaks_no_common_protocol_is_told_to_upgrade(wire: Wire, low: int, high: int) -> None:
    talk = Talk(begin(wire.identity, Terms(), NOW))
    hello = wire.hello()
    hello.protocol_min, hello.protocol_max = low, high
    talk.hear(said(hello))
    assert talk.sent()[0].go_away.reason == pb.GO_AWAY_REASON_UPGRADE_REQUIRED
    assert talk.session.phase is Phase.CLOSED


@pytest.mark.parametrize(
    "change", [{"epoch": ""}, {"epoch": "x" * 65}, {"first_seq": 9}, {"next_seq": 2**63}, {"boottime_ns": -1}]
)
def test_a_wrong_hello_ends_the_stream(wire: Wire, change: dict[str, str | int]) -> None:
    talk = Talk(begin(wire.identity, Terms(), NOW))
    hello = wire.hello()
    for name, value in change.items():
        setattr(hello, name, value)
    talk.hear(said(hello))
    assert talk.close().code == "INVALID_ARGUMENT"


def test_silence_before_hello_ends_the_stream_after_five_seconds(wire: Wire) -> None:
    talk = Talk(begin(wire.identity, Terms(), NOW))
    assert talk.hear(Ticked(), NOW + 4.9) == ()
    talk.hear(Ticked(), NOW + 5.0)
    assert talk.close().code == "DEADLINE_EXCEEDED"


def test_an_agent_that_falls_silent_is_cut(wire: Wire) -> None:
    talk = opened(wire)
    talk.hear(said(pb.Heartbeat(boottime_ns=int(1100e9))), NOW + 100)
    assert talk.hear(Ticked(), NOW + 219) == ()
    talk.hear(Ticked(), NOW + 220)
    assert talk.close().code == "DEADLINE_EXCEEDED"


def test_nothing_is_taken_before_hello_and_no_second_hello(wire: Wire) -> None:
    talk = Talk(begin(wire.identity, Terms(), NOW))
    talk.hear(said(wire.gauges(1)))
    assert talk.close().code == "FAILED_PRECONDITION"
    talk = opened(wire)
    talk.hear(said(wire.hello()))
    assert talk.close().code == "FAILED_PRECONDITION"


def test_a_message_of_a_newer_protocol_is_ignored(wire: Wire) -> None:
    assert opened(wire).hear(Said(pb.StreamRequest(), 0)) == ()


# --- schemas and batches ---


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


# --- loss, earlier boots, negotiation ---


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


def test_the_welcome_names_what_is_understood_beyond_the_core(wire: Wire) -> None:
    assert set(opened(wire).sent()[0].welcome.features) == {"lost_before", "earlier_boot", "suspended"}


def test_an_agent_of_the_release_before_is_served_as_it_was(wire: Wire) -> None:
    """No field that came later is filled in; the collector answers with the core."""
    talk, schema = with_schema(wire)
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0], lane=REPLAY)))
    talk.hear(said(wire.batch(schema, 2, [1.0, 2.0])))
    ack = talk.ack(Mark(1, "e1", REPLAY, 1), Mark(1, "e1", LIVE, 2))
    assert (ack.live_through, ack.replay_through) == (2, 1)


def test_fields_and_messages_of_a_newer_agent_are_passed_over(wire: Wire) -> None:
    hello = pb.Hello.FromString(wire.hello().SerializeToString() + b"\xfa\x3f\x03new")  # field 1023
    hello.protocol_max, hello.capabilities[:] = 9, ["teleport"]
    talk = Talk(begin(wire.identity, Terms(), NOW))
    talk.hear(said(hello))
    talk.hear(Opened(1))
    assert talk.sent()[0].welcome.protocol == 1
    unknown = pb.StreamRequest.FromString(b"\xfa\x3f\x03new")
    assert talk.hear(Said(unknown, 6)) == ()


# --- load, limits, sleep ---


def test_other_credits_are_told_with_the_next_ack(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(CreditsSet(0))
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0])))
    assert talk.ack(Mark(1, "e1", LIVE, 1)).replay_credits == 0
    talk.hear(CreditsSet(256))
    talk.hear(said(wire.batch(schema, 2, [1.0, 2.0])))
    assert talk.ack(Mark(1, "e1", LIVE, 2)).replay_credits == 256


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


@given(lanes=st.lists(st.booleans(), max_size=700))
@settings(max_examples=20, deadline=None)
def test_i14_one_agent_brings_the_engine_only_so_much_between_two_commits(wire: Wire, lanes: list[bool]) -> None:
    talk, schema = with_schema(wire)
    taken: list[Mark] = []
    for seq, replay in enumerate([*lanes, *[False] * 100], 1):
        talk.hear(said(wire.batch(schema, seq, [1.0, 2.0], lane=REPLAY if replay else LIVE)))
        taken += [action.mark for action in talk.done if isinstance(action, Append)]
    assert sum(mark.lane == LIVE for mark in taken) <= MAX_LIVE
    assert sum(mark.lane == REPLAY for mark in taken) <= 2 * Terms().replay_credits
    talk.hear(Committed(tuple(taken)))
    talk.hear(said(wire.batch(schema, 9000, [1.0, 2.0])))
    assert talk.append().mark.seq == 9000


def test_i13_the_largest_message_is_judged_within_a_second(wire: Wire) -> None:
    many = wire.schema(*(wire.series("m", **{f"l{n}": "x" * 60 for n in range(40)}, i=str(i)) for i in range(1500)))
    talk = opened(wire)
    began = time.process_time()
    talk.hear(said(many))
    talk.hear(said(wire.gauges(60_000)))
    talk.hear(said(wire.batch(many, 1, [1.0] * 1500)))
    assert time.process_time() - began < 1.0 * 3  # three of them


# --- acks ---


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


# --- ends ---


def test_a_clone_is_told_so_and_a_reconnect_is_not(wire: Wire) -> None:
    talk = opened(wire)
    talk.hear(Fenced(clone=True))
    assert talk.sent()[0].go_away.reason == pb.GO_AWAY_REASON_DUPLICATE_IDENTITY
    talk = opened(wire)
    talk.hear(Fenced(clone=False))
    assert (talk.sent(), talk.close().code) == ([], "ABORTED")


def test_revocation_and_drain_say_so_and_close(wire: Wire) -> None:
    talk = opened(wire)
    talk.hear(Revoked("The host was revoked."))
    assert talk.sent()[0].go_away.reason == pb.GO_AWAY_REASON_REVOKED
    assert talk.close().code == "PERMISSION_DENIED"
    talk = opened(wire)
    talk.hear(Drained(window=42.0))
    assert talk.sent()[0].go_away.reason == pb.GO_AWAY_REASON_DRAIN
    assert talk.sent()[0].go_away.reconnect_max_ms == 42_000
    assert talk.close().code == "OK"


def test_a_goodbye_names_its_reason(wire: Wire) -> None:
    talk = opened(wire)
    talk.hear(said(pb.GoingAway(reason=pb.GOING_AWAY_REASON_REBOOT, expected_back_seconds=90)))
    assert talk.done == (Goodbye("reboot", 90.0),)


def test_a_closed_session_only_learns_what_became_durable(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0])))
    talk.hear(Drained())
    assert talk.hear(said(wire.batch(schema, 2, [1.0, 2.0]))) == ()
    assert talk.hear(Committed((Mark(1, "e1", LIVE, 1),))) == ()
    assert 1 in talk.session.ledger.page("e1").durable


def test_the_interval_is_told_to_a_live_stream(wire: Wire) -> None:
    talk = opened(wire)
    talk.hear(IntervalSet(60.0))
    assert talk.sent()[0].set_interval.interval_seconds == 60.0
    assert talk.session.terms == replace(Terms(), interval=60.0)


def test_a_late_message_does_not_move_the_time_line_but_drift_does(wire: Wire) -> None:
    talk = opened(wire)
    talk.hear(said(pb.Heartbeat(boottime_ns=int(1030e9))), NOW + 30.9)
    assert talk.session.anchor == pytest.approx(NOW - 1000.0)
    talk.hear(said(pb.Heartbeat(boottime_ns=int(1060e9))), NOW + 64.0)
    assert talk.session.anchor == pytest.approx(NOW - 996.0)


@given(data=st.binary(max_size=300))
@settings(max_examples=200)
def test_no_bytes_make_a_session_fail(wire: Wire, data: bytes) -> None:
    try:
        message = pb.StreamRequest.FromString(data)
    except DecodeError:
        return
    opened(wire).hear(Said(message, len(data)))


def test_every_phase_and_message_has_a_row_or_is_ignored_on_purpose() -> None:
    messages = {f.name for f in pb.StreamRequest.DESCRIPTOR.fields}
    for phase in (Phase.HELLO, Phase.OPENING, Phase.LIVE):
        assert {name for p, name in TABLE if p is phase} >= messages


class Delivery(RuleBasedStateMachine):
    """An agent that loses, repeats and reorders against a model that is two sets."""

    wire: Wire

    @initialize()
    def start(self) -> None:
        self.schema = self.wire.gauges(1)
        self.gen = 1
        self.appended: list[tuple[str, int]] = []
        self.pending: list[Mark] = []
        self.durable: set[tuple[str, int]] = set()
        self.talk = opened(self.wire)
        self.talk.hear(said(self.schema))

    @rule(seq=st.integers(1, 40), replay=st.booleans(), epoch=st.sampled_from(["e1", "e2"]))
    def send(self, seq: int, replay: bool, epoch: str) -> None:
        lane = REPLAY if replay else LIVE
        self.talk.hear(said(self.wire.batch(self.schema, seq, [1.0], lane=lane, epoch=epoch)))
        for action in self.talk.done:
            if isinstance(action, Append):
                self.pending.append(action.mark)
                if not action.duplicate:
                    self.appended.append((epoch, seq))

    @rule(count=st.integers(1, 5))
    def commit(self, count: int) -> None:
        marks, self.pending = tuple(self.pending[:count]), self.pending[count:]
        self.durable |= {(mark.epoch, mark.seq) for mark in marks}
        self.talk.hear(Committed(marks))
        for message in self.talk.sent():
            for lane, through in ((LIVE, message.ack.live_through), (REPLAY, message.ack.replay_through)):
                waiting = [
                    m.seq for m in self.pending if (m.gen, m.epoch, m.lane) == (self.gen, message.ack.epoch, lane)
                ]
                received = {seq for e, seq in self.appended if e == message.ack.epoch}
                assert through in received | {0}
                assert waiting is not None

    @rule()
    def reconnect(self) -> None:
        self.gen += 1
        self.talk = opened(self.wire, self.wire.hello(first=1, following=41), self.talk.session, gen=self.gen)
        resume = self.talk.sent()[0].welcome.resume_seq
        assert {("e1", seq) for seq in range(1, resume)} <= self.durable

    @invariant()
    def no_number_has_two_effects(self) -> None:
        assert len(self.appended) == len(set(self.appended))

    @invariant()
    def what_is_durable_was_received(self) -> None:
        for page in self.talk.session.ledger.pages:
            for seq in range(1, 41):
                assert (seq in page.durable) == ((page.epoch, seq) in self.durable)


Delivery.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestDelivery = Delivery.TestCase


@pytest.fixture(autouse=True)
def _wire_for_the_machine(wire: Wire) -> None:
    Delivery.wire = wire


def test_counted_results_name_what_became_of_a_message(wire: Wire) -> None:
    talk, schema = with_schema(wire)
    talk.hear(said(wire.batch(schema, 1, [1.0, 2.0])))
    assert [a.result for a in talk.done if isinstance(a, Counted)] == ["live"]
