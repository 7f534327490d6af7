"""The uplink's table, row by row: how a stream ends and when the next one begins; goodbyes and rests."""

from dataclasses import replace

import pytest

from agent.events import (
    Acknowledge,
    Connected,
    Discard,
    Disconnected,
    Event,
    Farewell,
    GoAwayReceived,
    Goodbye,
    HeartbeatDue,
    IntervalSet,
    Reconnect,
    Refusal,
    Rest,
    Resting,
    Resumed,
    RoundTaken,
    SendGoingAway,
    SendHeartbeat,
    SendHello,
    SetInterval,
    Stop,
    TimeUp,
    Unheard,
    Wait,
)
from agent.session import TABLE, Session, State, step
from tests.agent.steps import LIVE, ack, after, entry, nack, taken, welcome


def test_draining_waits_for_what_is_under_way_then_leaves_in_the_window() -> None:
    start = (*LIVE, taken(1), GoAwayReceived(Farewell.DRAIN, 3.0, 9.0))
    session, actions = after(*start)
    assert (session.state, actions) == (State.DRAINING, (Wait(5.0),))
    assert after(*start, taken(2))[1] == ()
    assert after(*start, ack(1, 0, 2))[1] == (Acknowledge((1,)), Wait(None), Reconnect(3.0, 9.0))
    assert after(*start, TimeUp())[1] == (Wait(None), Reconnect(3.0, 9.0))
    assert after(*start, Disconnected())[1] == (Wait(None), Reconnect(3.0, 9.0))


def test_draining_with_nothing_under_way_leaves_at_once() -> None:
    assert after(*LIVE, GoAwayReceived(Farewell.MOVED, 1.0, 2.0))[1][-1] == Reconnect(1.0, 2.0)


def test_nothing_is_sent_again_while_draining() -> None:
    start = (*LIVE, taken(1), taken(2), GoAwayReceived(Farewell.DRAIN))
    session, actions = after(*start, nack(1, Refusal.UNKNOWN_SCHEMA))
    assert (actions, list(session.window)) == ((), [2])
    assert after(*start, nack(1, Refusal.BAD_DATA))[1] == (Discard(1, Refusal.BAD_DATA),)


def test_a_window_told_is_bounded_and_in_order() -> None:
    assert after(*LIVE, GoAwayReceived(Farewell.DRAIN, 1e9, 1.0))[1][-1] == Reconnect(3600.0, 3600.0)


def test_a_double_identity_comes_back_slowly() -> None:
    assert after(*LIVE, GoAwayReceived(Farewell.DUPLICATE_IDENTITY))[1][-1] == Reconnect(60.0, 120.0)


def test_a_revoked_agent_stops_for_good() -> None:
    session, actions = after(*LIVE, GoAwayReceived(Farewell.REVOKED))
    assert session.state is State.STOPPED
    assert actions == (Stop(Farewell.REVOKED),)
    assert step(session, Connected()) == (session, ())


def test_the_window_doubles_up_to_two_minutes_and_an_ack_resets_it() -> None:
    session = Session()
    widths = []
    for _ in range(9):
        session, _ = step(session, Connected())
        session, actions = step(session, Disconnected())
        widths.append(next(a.most for a in actions if isinstance(a, Reconnect)))
    assert widths == [1, 2, 4, 8, 16, 32, 64, 120, 120]
    for event in (Connected(), welcome(0), taken(1), ack(1, 0, 1)):
        session, _ = step(session, event)
    assert step(session, Disconnected())[1] == (Wait(None), Reconnect(0.0, 1.0))


def test_a_welcome_alone_does_not_reset_the_window() -> None:
    assert after(*(*LIVE, Disconnected()) * 3)[1][-1] == Reconnect(0.0, 4.0)


@pytest.mark.parametrize(("told", "widths"), [(20.0, [1, 20, 20, 20, 20, 32]), (1e9, [1, 120]), (-5.0, [1, 2, 4])])
def test_a_collector_that_is_gone_is_given_the_time_it_asked_for(told: float, widths: list[float]) -> None:
    (session, actions), found = after(Connected(), replace(welcome(0), spread=told), Disconnected()), []
    for _ in widths:
        found.append(next(a.most for a in actions if isinstance(a, Reconnect)))
        session, _ = step(session, Connected())
        session, actions = step(session, Disconnected())
    assert found == widths


def test_the_collector_sets_the_interval() -> None:
    assert after(*LIVE, IntervalSet(3.0))[1] == (SetInterval(3.0),)
    assert after(*LIVE, IntervalSet(-3.0))[1] == (SetInterval(0.1),)


def test_a_heartbeat_is_sent_only_on_a_live_stream() -> None:
    assert after(*LIVE, HeartbeatDue())[1] == (SendHeartbeat(),)
    assert after(Connected(), HeartbeatDue())[1] == ()


def test_goodbye_is_said_where_somebody_listens() -> None:
    assert after(*LIVE, Goodbye()) == (replace(after(*LIVE)[0], state=State.STOPPED), (SendGoingAway(), Stop(None)))


LEAVING: tuple[Event, ...] = (*LIVE, taken(1), Disconnected(), Goodbye())
GREETED: tuple[tuple[Event, ...], ...] = ((*LEAVING, Connected()), (Connected(), Goodbye()))


def test_without_a_stream_one_more_is_tried_to_say_goodbye() -> None:
    session, actions = after(*LEAVING)
    assert (session.state, actions) == (State.LEAVING, (Reconnect(0.0, 0.0), Wait(1.0)))
    session, actions = after(*LEAVING, Connected())
    assert (session.state, actions) == (State.LEAVING, (SendHello(),))
    session, actions = after(Connected(), Goodbye())
    assert (session.state, actions) == (State.LEAVING, (Wait(1.0),))


@pytest.mark.parametrize("greeted", GREETED)
def test_the_goodbye_follows_the_welcome_and_no_round_with_it(greeted: tuple[Event, ...]) -> None:
    session, actions = after(*greeted, taken(2), welcome(2))
    assert (session.state, session.newest, actions) == (State.STOPPED, entry(2), (SendGoingAway(), Stop(None)))


@pytest.mark.parametrize("leaving", [LEAVING, *GREETED])
@pytest.mark.parametrize("fails", [Disconnected(), TimeUp(), GoAwayReceived(Farewell.DRAIN, 3.0, 9.0), Goodbye()])
def test_where_nobody_answers_at_once_it_leaves_without_a_word(leaving: tuple[Event, ...], fails: Event) -> None:
    session, actions = after(*leaving, fails)
    assert (session.state, actions) == (State.STOPPED, (Stop(None),))


@pytest.mark.parametrize("events", [(), (Connected(),), LIVE, (*LIVE, GoAwayReceived(Farewell.DRAIN, 0.0, 0.0))])
def test_every_stream_can_rest_and_nothing_but_its_end_or_the_agents_ends_that(events: tuple[Event, ...]) -> None:
    session, actions = after(*events, taken(1), Resting())
    assert session.state is State.RESTING
    assert actions[-1] == Rest()
    assert session.window == {}
    for late in (TimeUp(), HeartbeatDue(), welcome(1), ack(1, 0), taken(2)):
        session, actions = step(session, late)
        assert (session.state, actions) == (State.RESTING, ())
    assert step(session, Goodbye()) == (replace(session, state=State.STOPPED), (Stop(None),))
    session, actions = step(session, Resumed())
    assert (session.state, actions) == (State.DISCONNECTED, (Reconnect(0.0, 0.0),))
    assert session.newest == entry(2)


CALLING: tuple[Event, ...] = (taken(1), Resting(), Unheard(), Connected())


def test_a_goodbye_that_nobody_heard_is_said_on_a_stream_of_its_own_and_nothing_else() -> None:
    session, actions = after(*CALLING[:3])
    assert (session.state, actions) == (State.RESTING, (Wait(None), Reconnect(0.0, 1.0)))
    session, actions = after(*CALLING)
    assert (session.state, actions) == (State.CALLING, (SendHello(), Wait(20.0)))
    session, actions = after(*CALLING, welcome(1))
    assert (session.state, actions) == (State.RESTING, (Wait(None), SendGoingAway(), Rest()))


@pytest.mark.parametrize("fails", [(Disconnected(),), (Connected(), Disconnected()), (Connected(), TimeUp())])
def test_it_is_tried_again_ever_more_slowly(fails: tuple[Event, ...]) -> None:
    session, actions = after(Resting(), Unheard(), *fails * 3)
    assert (session.state, actions) == (State.RESTING, (Wait(None), Reconnect(0.0, 8.0)))
    assert step(session, Resumed()) == (
        replace(session, state=State.DISCONNECTED, failures=0, owed=False),
        (Reconnect(0.0, 0.0),),
    )


def test_a_call_is_put_off_in_the_window_told_and_given_up_when_revoked() -> None:
    session, actions = after(*CALLING, GoAwayReceived(Farewell.DRAIN, 3.0, 9.0))
    assert (session.state, actions[-1]) == (State.RESTING, Reconnect(3.0, 9.0))
    session, actions = after(*CALLING, GoAwayReceived(Farewell.REVOKED, 0.0, 0.0))
    assert (session.state, actions) == (State.STOPPED, (Stop(Farewell.REVOKED),))


def test_a_call_ends_with_the_rest_or_begins_anew_with_another_one() -> None:
    session, actions = after(*CALLING, Resumed())
    assert (session.state, actions) == (State.DISCONNECTED, (Reconnect(0.0, 0.0),))
    session, actions = after(*CALLING, Resting())
    assert (session.state, actions) == (State.RESTING, (Rest(),))


def test_an_agent_that_stops_in_a_rest_calls_its_goodbye_once_more_unless_it_was_heard() -> None:
    session, actions = after(*CALLING[:3], Goodbye())
    assert (session.state, session.owed, actions) == (State.LEAVING, True, (Reconnect(0.0, 0.0), Wait(1.0)))
    session, actions = after(*CALLING, Goodbye())
    assert (session.state, session.owed, actions) == (State.LEAVING, True, (Wait(1.0),))
    session, actions = after(*CALLING, welcome(1), Goodbye())
    assert (session.state, actions) == (State.STOPPED, (Stop(None),))


def test_a_rest_is_told_where_somebody_listens() -> None:
    assert after(*LIVE, Resting())[1] == (SendGoingAway(), Rest())
    assert after(Resting())[1] == (Rest(),)


def test_every_state_but_stopped_knows_a_goodbye_and_a_round() -> None:
    for state in set(State) - {State.STOPPED}:
        assert (state, Goodbye) in TABLE
        assert (state, RoundTaken) in TABLE
