from dataclasses import replace

import pytest

from collector.ingest.events import (
    Beat,
    Committed,
    Drained,
    Fenced,
    Goodbye,
    Granted,
    IntervalSet,
    Mark,
    Opened,
    OpenSession,
    Revoked,
    Said,
    Terms,
    Ticked,
)
from collector.ingest.session import TABLE, Phase, begin
from czuwak.v1 import ingest_pb2 as pb
from tests.collector.ingest.talk import LIVE, NOW, REPLAY, Talk, Wire, opened, said, with_schema


def test_a_first_hello_is_welcomed_and_asked_for_the_last_half_hour(wire: Wire) -> None:
    talk = Talk(begin(wire.identity, Terms(), NOW))
    hello = wire.hello(first=3, following=9, boottime=5000.0)
    assert talk.hear(said(hello)) == (OpenSession(hello),)
    talk.hear(Opened(7, 1.5))
    welcome = talk.sent()[0].welcome
    assert welcome.reconnect_max_ms == 1500
    assert (welcome.protocol, welcome.session_gen, welcome.resume_seq) == (1, 7, 3)
    assert welcome.rewind_from_boottime_ns == 3200 * 10**9
    assert welcome.interval_seconds == 15.0
    assert welcome.max_series == 2000


def test_what_is_granted_before_the_welcome_is_told_by_it(wire: Wire) -> None:
    talk = Talk(begin(wire.identity, Terms(), NOW))
    talk.hear(said(wire.hello()))
    talk.hear(Granted(4))
    assert not talk.done
    talk.hear(Opened(1))
    assert talk.sent()[0].welcome.replay_credits == 4


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


def test_the_welcome_names_what_is_understood_beyond_the_core(wire: Wire) -> None:
    features = {"lost_before", "earlier_boot", "suspended", "packed_schema"}
    assert set(opened(wire).sent()[0].welcome.features) == features


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


def test_every_phase_and_message_has_a_row_or_is_ignored_on_purpose() -> None:
    messages = {f.name for f in pb.StreamRequest.DESCRIPTOR.fields}
    for phase in (Phase.HELLO, Phase.OPENING, Phase.LIVE):
        assert {name for p, name in TABLE if p is phase} >= messages
