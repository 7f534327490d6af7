"""What the collector says to an agent about its batches and its stream."""

from collections.abc import Mapping

from collector.ingest.events import Send
from czuwak.v1 import ingest_pb2 as pb


def ack(
    epoch: str, durable: Mapping[tuple[str, int], int], owed: frozenset[tuple[str, int]], replay_credits: int
) -> Send:
    """How far each lane of an epoch is durable: the highest number, but none from the lowest that is `owed` on.

    `durable` is by epoch and lane; `owed` are epochs and numbers that were refused once and are to come.
    """
    lowest = min((seq for e, seq in owed if e == epoch), default=None)

    def through(lane: int) -> int:
        number = durable.get((epoch, lane), 0)
        return number if lowest is None else min(number, lowest - 1)

    told = pb.Ack(
        epoch=epoch,
        live_through=through(pb.LANE_LIVE),
        replay_through=through(pb.LANE_REPLAY),
        replay_credits=replay_credits,
    )
    return Send(pb.StreamResponse(ack=told))


def nack(epoch: str, seq: int, reason: pb.NackReason.ValueType, detail: str, pause_ms: int = 0) -> Send:
    """Why a batch was not taken, and when it may come again."""
    told = pb.Nack(epoch=epoch[:64], seq=seq, reason=reason, detail=detail, retry_after_ms=pause_ms)
    return Send(pb.StreamResponse(nack=told))


def go_away(reason: pb.GoAwayReason.ValueType, detail: str, low_ms: int = 0, high_ms: int = 0) -> Send:
    """Why the stream ends, and within which time the agent may come back."""
    told = pb.GoAway(reason=reason, detail=detail, reconnect_min_ms=low_ms, reconnect_max_ms=high_ms)
    return Send(pb.StreamResponse(go_away=told))
