"""The session by hand: events and entries, a session after some of them, what its actions send and ask for."""

from dataclasses import replace

from agent.events import (
    AckReceived,
    Action,
    Connected,
    Entry,
    Event,
    Fetch,
    Found,
    NackReceived,
    Refusal,
    RoundTaken,
    SendBatch,
    SendSchema,
    WelcomeReceived,
)
from agent.session import Session, step

SECOND = 1_000_000_000
S, T = b"schema-one", b"schema-two"
NOTHING = Found(())


def entry(seq: int, schema: bytes = S, *, series: int = 3, size: int = 100, epoch: str = "e") -> Entry:
    return Entry(seq, epoch, seq, seq * 15 * SECOND, schema, series, size)


def taken(seq: int, schema: bytes = S, *, series: int = 3, size: int = 100) -> RoundTaken:
    return RoundTaken(entry(seq, schema, series=series, size=size))


def found(*seqs: int) -> Found:
    return Found(tuple(map(entry, seqs)))


def ack(live: int, replay: int, credits_: int = 2, epoch: str = "e") -> AckReceived:
    return AckReceived(epoch, live, replay, credits_)


def nack(seq: int, reason: Refusal, seconds: float = 0.0) -> NackReceived:
    return NackReceived("e", seq, reason, seconds)


def welcome(seq: int, **terms: object) -> WelcomeReceived:
    """A Welcome that arrives when round `seq` has just been taken."""
    return replace(WelcomeReceived(seq * 15 * SECOND, replay_credits=2), **terms)  # type: ignore[arg-type]


def after(*events: Event) -> tuple[Session, tuple[Action, ...]]:
    """The session after all events and the actions of the last one."""
    session: Session = Session()
    actions: tuple[Action, ...] = ()
    for event in events:
        session, actions = step(session, event)
    return session, actions


def sends(actions: tuple[Action, ...]) -> list[Action]:
    return [each for each in actions if isinstance(each, SendSchema | SendBatch)]


def asks(actions: tuple[Action, ...]) -> list[Fetch]:
    return [each for each in actions if isinstance(each, Fetch)]


LIVE: tuple[Event, ...] = (Connected(), welcome(0), NOTHING)
