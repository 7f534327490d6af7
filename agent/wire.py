"""The collector's messages as the session's events. Pure; an unknown message of a newer collector is no event."""

from agent.events import (
    AckReceived,
    Event,
    Farewell,
    GoAwayReceived,
    IntervalSet,
    Lane,
    NackReceived,
    Refusal,
    WelcomeReceived,
)
from czuwak.v1 import ingest_pb2 as pb

LANES = {Lane.LIVE: pb.LANE_LIVE, Lane.REPLAY: pb.LANE_REPLAY}
_REFUSALS = {
    pb.NACK_REASON_BAD_DATA: Refusal.BAD_DATA,
    pb.NACK_REASON_TOO_BIG: Refusal.TOO_BIG,
    pb.NACK_REASON_UNKNOWN_SCHEMA: Refusal.UNKNOWN_SCHEMA,
    pb.NACK_REASON_QUOTA: Refusal.QUOTA,
    pb.NACK_REASON_FENCED: Refusal.FENCED,
    pb.NACK_REASON_RETRY_AFTER: Refusal.RETRY_AFTER,
}
_FAREWELLS = {
    pb.GO_AWAY_REASON_DRAIN: Farewell.DRAIN,
    pb.GO_AWAY_REASON_MOVED: Farewell.MOVED,
    pb.GO_AWAY_REASON_UPGRADE_REQUIRED: Farewell.UPGRADE_REQUIRED,
    pb.GO_AWAY_REASON_REVOKED: Farewell.REVOKED,
    pb.GO_AWAY_REASON_DUPLICATE_IDENTITY: Farewell.DUPLICATE_IDENTITY,
}


def event_of(message: pb.StreamResponse, *, at_ns: int) -> Event | None:
    """The event of one message; None for one about no batch or of a kind we do not know. `at_ns`: boottime now."""
    match message.WhichOneof("message"):
        case "welcome":
            return _welcome(message.welcome, at_ns)
        case "ack":
            ack = message.ack
            return AckReceived(ack.epoch, ack.live_through, ack.replay_through, ack.replay_credits)
        case "nack" if message.nack.seq:
            nack = message.nack
            refusal = _REFUSALS.get(nack.reason, Refusal.BAD_DATA)
            return NackReceived(nack.epoch, nack.seq, refusal, nack.retry_after_ms / 1000)
        case "set_interval":
            return IntervalSet(message.set_interval.interval_seconds)
        case "go_away":
            away = message.go_away
            reason = _FAREWELLS.get(away.reason, Farewell.DRAIN)
            return GoAwayReceived(reason, away.reconnect_min_ms / 1000, away.reconnect_max_ms / 1000)
        case _:
            return None


def _welcome(welcome: pb.Welcome, at_ns: int) -> WelcomeReceived:
    return WelcomeReceived(
        at_ns=at_ns,
        resume_seq=welcome.resume_seq,
        rewind_from_ns=welcome.rewind_from_boottime_ns or None,
        interval=welcome.interval_seconds or 15.0,
        heartbeat=welcome.heartbeat_seconds or 30.0,
        replay_credits=welcome.replay_credits,
        max_batch_bytes=welcome.max_batch_bytes,
        max_series=welcome.max_series,
        spread=welcome.reconnect_max_ms / 1000,
    )
