"""The uplink's table, row by row: the greeting, rounds, history and acknowledgements."""

from agent.events import (
    Acknowledge,
    AcknowledgeBelow,
    Connected,
    Discard,
    Disconnected,
    Entry,
    Fetch,
    Found,
    Gone,
    Lane,
    NackReceived,
    Progress,
    Reconnect,
    Recovered,
    Refusal,
    RetryDue,
    Rewind,
    SendBatch,
    SendHello,
    SendSchema,
    SetHeartbeat,
    SetInterval,
    TimeUp,
    Wait,
)
from agent.moves import BEFORE_ALL
from agent.session import State
from tests.agent.steps import LIVE, SECOND, S, T, ack, after, asks, found, nack, sends, taken, welcome


def test_hello_is_said_on_a_new_stream() -> None:
    session, actions = after(Connected())
    assert session.state is State.GREETING
    assert actions == (SendHello(), Wait(20.0))


def test_a_welcome_sets_interval_and_heartbeat_and_asks_for_what_waits() -> None:
    session, actions = after(Connected(), welcome(0, interval=5.0, heartbeat=7.0, resume_seq=4))
    assert session.state is State.LIVE
    assert actions == (
        Wait(None),
        SetInterval(5.0),
        SetHeartbeat(7.0),
        AcknowledgeBelow(4),
        Fetch(BEFORE_ALL, 2, None),
    )


def test_a_silent_collector_is_left_after_the_greeting_time() -> None:
    session, actions = after(Connected(), TimeUp())
    assert session.state is State.DISCONNECTED
    assert actions == (Wait(None), Reconnect(0.0, 1.0))


def test_the_schema_goes_once_before_its_first_batch() -> None:
    assert sends(after(*LIVE, taken(1))[1]) == [SendSchema(S), SendBatch(1, Lane.LIVE)]
    assert sends(after(*LIVE, taken(1), taken(2))[1]) == [SendBatch(2, Lane.LIVE)]
    assert sends(after(*LIVE, taken(1), taken(2, T))[1]) == [SendSchema(T), SendBatch(2, Lane.LIVE)]


def test_only_the_newest_round_is_live_after_a_reconnect() -> None:
    start = (taken(1), taken(2), taken(3), Connected(), welcome(3))
    assert after(*start)[1][-3:] == (SendSchema(S), SendBatch(3, Lane.LIVE), Fetch(BEFORE_ALL, 2, None))
    assert after(*start, found(1, 2))[1] == (SendBatch(1, Lane.REPLAY), SendBatch(2, Lane.REPLAY))


def test_a_newest_round_that_is_old_is_history_too() -> None:
    assert sends(after(taken(1), Connected(), welcome(100))[1]) == []


def test_replay_is_bounded_by_credits_and_goes_on_with_acks() -> None:
    start = (taken(5), Connected(), welcome(5), found(1, 2))
    assert asks(after(*start)[1]) == []
    assert after(*start, ack(0, 1))[1] == (Acknowledge((1,)), Fetch(2, 1, None))
    assert after(*start, ack(0, 1), found(3))[1] == (SendBatch(3, Lane.REPLAY),)


def test_the_spool_is_asked_no_more_once_nothing_waits() -> None:
    start = (taken(5), Connected(), welcome(5), found(1))
    assert after(*start)[0].dry
    assert asks(after(*start, ack(5, 1))[1]) == []
    assert asks(after(*start, ack(5, 1), taken(6), ack(6, 0))[1]) == []


def test_a_round_that_cannot_go_live_is_asked_for_as_history() -> None:
    full = (*LIVE, *(taken(n) for n in range(1, 17)))
    assert after(*full, taken(17))[1] == (Fetch(BEFORE_ALL, 2, None),)
    assert after(*full, taken(17), found(1, 2))[1] == (Fetch(2, 2, None),)
    assert after(*full, taken(17), found(16, 17))[1] == (SendBatch(17, Lane.REPLAY), Fetch(17, 1, None))


def test_no_credits_stop_the_replay_and_new_ones_resume_it() -> None:
    start = (taken(1), taken(2), Connected(), welcome(2, replay_credits=0))
    assert after(*start)[1][-2:] == (SendSchema(S), SendBatch(2, Lane.LIVE))
    assert asks(after(*start, ack(2, 0, 5))[1]) == [Fetch(BEFORE_ALL, 5, None)]


def test_an_ack_of_one_lane_or_epoch_says_nothing_of_the_other() -> None:
    start = (taken(2), Connected(), welcome(2), found(1))
    assert dict(after(*start, ack(2, 0))[0].progress) == {1: Progress.REPLAY}
    assert dict(after(*start, ack(2, 2, epoch="another"))[0].progress) == {2: Progress.LIVE, 1: Progress.REPLAY}


def test_batches_of_an_earlier_epoch_are_replayed_and_acknowledged_as_such() -> None:
    old = Entry(-3, "old", 900, SECOND, S, 3, 100)
    start = (taken(1), Connected(), welcome(1), Found((old,)))
    assert after(*start)[1] == (SendBatch(-3, Lane.REPLAY),)
    assert after(*start, ack(0, 900))[1] == ()
    assert after(*start, ack(0, 900, epoch="old"))[1][0] == Acknowledge((-3,))
    assert after(*start, NackReceived("old", 900, Refusal.BAD_DATA))[1][0] == Discard(-3, Refusal.BAD_DATA)


def test_what_the_collector_has_already_is_settled_and_not_sent_again() -> None:
    _, actions = after(taken(3), Connected(), welcome(3, resume_seq=4))
    assert AcknowledgeBelow(4) in actions
    assert sends(actions) == []


def test_a_rewind_sends_again_even_what_was_acknowledged() -> None:
    live = (*LIVE, taken(1), taken(2), taken(3), ack(3, 0), Disconnected(), Connected())
    assert sends(after(*live, welcome(4, resume_seq=4))[1]) == []
    rewound = welcome(4, resume_seq=4, rewind_from_ns=2 * 15 * SECOND)
    _, actions = after(*live, rewound)
    assert sends(actions) == [SendSchema(S), SendBatch(3, Lane.LIVE)]
    assert asks(actions) == [Fetch(BEFORE_ALL, 2, Rewind(30 * SECOND, BEFORE_ALL, 3))]


def test_a_rewind_of_what_is_no_news_any_more_is_all_history() -> None:
    live = (*LIVE, taken(3), ack(3, 0), Disconnected(), Connected())
    _, actions = after(*live, welcome(100, rewind_from_ns=30 * SECOND))
    assert (sends(actions), asks(actions)) == ([], [Fetch(BEFORE_ALL, 2, Rewind(30 * SECOND, BEFORE_ALL, 4))])


def test_a_rewind_that_was_cut_short_goes_on_where_it_was() -> None:
    live = (*LIVE, taken(9), ack(9, 0), Disconnected(), Connected(), welcome(9, rewind_from_ns=1))
    cut = (*live, found(1, 2), ack(0, 1), found(3), Disconnected(), Connected(), welcome(9))
    assert asks(after(*cut)[1]) == [Fetch(BEFORE_ALL, 2, Rewind(1, 1, 9))]
    again = (*cut[:-1], Disconnected(), Connected(), welcome(9))
    assert asks(after(*again)[1]) == [Fetch(BEFORE_ALL, 2, Rewind(1, 1, 9))]
    done = (*live, found(1), ack(0, 1), Disconnected(), Connected(), welcome(9))
    assert asks(after(*done)[1]) == [Fetch(BEFORE_ALL, 2, None)]


def test_what_was_under_way_when_the_stream_broke_waits_again() -> None:
    session, _ = after(*LIVE, taken(1), taken(2), Disconnected())
    assert (session.window, session.progress) == ({}, {})
    _, actions = after(*LIVE, taken(1), taken(2), Disconnected(), taken(3), Connected(), welcome(3))
    assert sends(actions) == [SendSchema(S), SendBatch(3, Lane.LIVE)]


def test_a_batch_that_is_gone_makes_room_for_the_next() -> None:
    start = (taken(5), Connected(), welcome(5), found(1, 2))
    assert after(*start, Gone(1))[1] == (Fetch(2, 1, None),)


def test_what_a_disk_brings_back_goes_through_a_stream_of_its_own() -> None:
    start = (taken(5), Connected(), welcome(5), found(1))
    session, actions = after(*start, Recovered())
    assert (session.state, session.window) == (State.DISCONNECTED, {})
    assert actions == (Wait(None), Reconnect(0.0, 1.0))


def test_a_round_to_be_sent_again_waits_for_its_turn_in_the_history() -> None:
    """An ack says "up to": number 9 in front of 3 would have 3 settled before the collector has it."""
    start = (taken(9), Connected(), welcome(9), found(1, 2), taken(10), nack(9, Refusal.RETRY_AFTER, 1.0), RetryDue(9))
    assert after(*start)[1] == ()
    assert after(*start, ack(0, 1))[1] == (Acknowledge((1,)), Fetch(2, 1, None))
