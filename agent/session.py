"""The uplink as a table: (state, event) -> what moves.py does. No socket, no clock, no log.

A pair that is not in the table changes nothing: a message that comes too late is not an error.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from agent import moves
from agent.events import (
    AckReceived,
    Connected,
    Disconnected,
    Event,
    Found,
    GoAwayReceived,
    Gone,
    Goodbye,
    HeartbeatDue,
    IntervalSet,
    NackReceived,
    Recovered,
    Resting,
    Resumed,
    RetryDue,
    RoundTaken,
    TimeUp,
    Unheard,
    WelcomeReceived,
)
from agent.moves import Session, State, Step

TABLE: Mapping[tuple[State, type[Event]], Callable[[Session, Any], Step]] = MappingProxyType(
    {
        (State.DISCONNECTED, Connected): moves.greet,
        (State.DISCONNECTED, RoundTaken): moves.keep,
        (State.DISCONNECTED, Disconnected): moves.lost,  # no stream could be opened
        (State.DISCONNECTED, Goodbye): moves.last_call,
        (State.DISCONNECTED, Resting): moves.rest_unheard,
        (State.GREETING, WelcomeReceived): moves.welcome,
        (State.GREETING, RoundTaken): moves.keep,
        (State.GREETING, GoAwayReceived): moves.told_to_go,
        (State.GREETING, TimeUp): moves.lost,
        (State.GREETING, Disconnected): moves.lost,
        (State.GREETING, Goodbye): moves.last_wait,
        (State.GREETING, Resting): moves.rest_unheard,
        (State.LIVE, RoundTaken): moves.send_round,
        (State.LIVE, AckReceived): moves.acknowledged,
        (State.LIVE, NackReceived): moves.refused,
        (State.LIVE, Found): moves.hand_out,
        (State.LIVE, Gone): moves.gone,
        (State.LIVE, Recovered): moves.begin_again,
        (State.LIVE, RetryDue): moves.retry,
        (State.LIVE, IntervalSet): moves.set_interval,
        (State.LIVE, HeartbeatDue): moves.beat,
        (State.LIVE, GoAwayReceived): moves.told_to_go,
        (State.LIVE, Disconnected): moves.lost,
        (State.LIVE, Goodbye): moves.goodbye,
        (State.LIVE, Resting): moves.rest,
        (State.DRAINING, RoundTaken): moves.keep,
        (State.DRAINING, AckReceived): moves.acknowledged_last,
        (State.DRAINING, NackReceived): moves.refused_last,
        (State.DRAINING, TimeUp): moves.lost,
        (State.DRAINING, Disconnected): moves.lost,
        (State.DRAINING, Goodbye): moves.goodbye,
        (State.DRAINING, Resting): moves.rest,
        (State.RESTING, RoundTaken): moves.keep,
        (State.RESTING, Resting): moves.rest_unheard,  # for another reason, or longer
        (State.RESTING, Unheard): moves.call_later,
        (State.RESTING, Connected): moves.call,
        (State.RESTING, Disconnected): moves.call_later,  # no stream could be opened
        (State.RESTING, Resumed): moves.resume,
        (State.RESTING, Goodbye): moves.leave_rest,
        (State.CALLING, WelcomeReceived): moves.tell,
        (State.CALLING, RoundTaken): moves.keep,
        (State.CALLING, GoAwayReceived): moves.put_off,
        (State.CALLING, TimeUp): moves.call_later,
        (State.CALLING, Disconnected): moves.call_later,
        (State.CALLING, Resting): moves.rest_unheard,
        (State.CALLING, Resumed): moves.resume,
        (State.CALLING, Goodbye): moves.last_wait,
        (State.LEAVING, Connected): moves.last_hello,
        (State.LEAVING, WelcomeReceived): moves.goodbye,
        (State.LEAVING, RoundTaken): moves.keep,
        (State.LEAVING, GoAwayReceived): moves.leave,
        (State.LEAVING, TimeUp): moves.leave,
        (State.LEAVING, Disconnected): moves.leave,
        (State.LEAVING, Goodbye): moves.leave,
    }
)


def step(session: Session, event: Event) -> Step:
    """The next session and what to do now, in order."""
    move = TABLE.get((session.state, type(event)))
    return (session, ()) if move is None else move(session, event)


__all__ = ["TABLE", "Session", "State", "Step", "step"]
