import pytest

from agent.events import (
    AckReceived,
    Event,
    Farewell,
    GoAwayReceived,
    IntervalSet,
    NackReceived,
    Refusal,
    WelcomeReceived,
)
from agent.wire import event_of
from czuwak.v1 import ingest_pb2 as pb

WELCOME = pb.Welcome(
    resume_seq=4,
    rewind_from_boottime_ns=9,
    interval_seconds=2.5,
    heartbeat_seconds=7.5,
    replay_credits=3,
    max_batch_bytes=1000,
    max_series=20,
    reconnect_max_ms=60_500,
)


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (pb.StreamResponse(welcome=WELCOME), WelcomeReceived(77, 4, 9, 2.5, 7.5, 3, 1000, 20, 60.5)),
        (pb.StreamResponse(welcome=pb.Welcome()), WelcomeReceived(77, 0, None, 15.0, 30.0, 0, 0, 0)),
        (
            pb.StreamResponse(ack=pb.Ack(epoch="e", live_through=5, replay_through=3, replay_credits=2)),
            AckReceived("e", 5, 3, 2),
        ),
        (
            pb.StreamResponse(nack=pb.Nack(epoch="e", seq=5, reason=pb.NACK_REASON_RETRY_AFTER, retry_after_ms=1500)),
            NackReceived("e", 5, Refusal.RETRY_AFTER, 1.5),
        ),
        (pb.StreamResponse(nack=pb.Nack(epoch="e", seq=5)), NackReceived("e", 5, Refusal.BAD_DATA, 0.0)),
        (pb.StreamResponse(set_interval=pb.SetInterval(interval_seconds=3)), IntervalSet(3.0)),
        (
            pb.StreamResponse(
                go_away=pb.GoAway(reason=pb.GO_AWAY_REASON_MOVED, reconnect_min_ms=500, reconnect_max_ms=900)
            ),
            GoAwayReceived(Farewell.MOVED, 0.5, 0.9),
        ),
        (pb.StreamResponse(go_away=pb.GoAway()), GoAwayReceived(Farewell.DRAIN, 0.0, 0.0)),
        (pb.StreamResponse(nack=pb.Nack(reason=pb.NACK_REASON_QUOTA, detail="too many series")), None),
        (pb.StreamResponse(), None),
    ],
)
def test_a_message_becomes_an_event(message: pb.StreamResponse, event: Event | None) -> None:
    assert event_of(message, at_ns=77) == event


def test_every_refusal_and_farewell_of_the_protocol_is_known() -> None:
    reasons = [r for r in pb.NackReason.values() if r]
    nacks = [event_of(pb.StreamResponse(nack=pb.Nack(epoch="e", seq=1, reason=r)), at_ns=0) for r in reasons]
    assert len({n.reason for n in nacks if isinstance(n, NackReceived)}) == len(reasons)
    farewells = [r for r in pb.GoAwayReason.values() if r]
    aways = [event_of(pb.StreamResponse(go_away=pb.GoAway(reason=r)), at_ns=0) for r in farewells]
    assert len({a.reason for a in aways if isinstance(a, GoAwayReceived)}) == len(farewells)
