"""A session spoken to as the servicer does it, and everything it did."""

from typing import Any

from collector.ingest.events import (
    Action,
    Append,
    Close,
    Committed,
    Event,
    Mark,
    Opened,
    Said,
    Send,
    Terms,
)
from collector.ingest.session import Session, begin, step
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
