"""The table, row by row, then against a model of a collector that does anything it may."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.events import (
    Acknowledge,
    AcknowledgeBelow,
    AckReceived,
    Action,
    Connected,
    Discard,
    Disconnected,
    Entry,
    Event,
    Farewell,
    Fetch,
    Found,
    GoAwayReceived,
    Gone,
    Goodbye,
    HeartbeatDue,
    IntervalSet,
    Lane,
    NackReceived,
    Progress,
    Reconnect,
    Recovered,
    Refusal,
    Rest,
    Resting,
    Resumed,
    RetryDue,
    RetryLater,
    Rewind,
    RoundTaken,
    SendBatch,
    SendGoingAway,
    SendHeartbeat,
    SendHello,
    SendSchema,
    SetHeartbeat,
    SetInterval,
    Stop,
    TimeUp,
    Wait,
    WelcomeReceived,
)
from agent.moves import BEFORE_ALL
from agent.session import TABLE, Session, State, step

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


def test_an_unknown_schema_is_sent_again_with_its_batch() -> None:
    _, actions = after(*LIVE, taken(1), nack(1, Refusal.UNKNOWN_SCHEMA))
    assert actions == (SendSchema(S), SendBatch(1, Lane.LIVE))


def test_a_batch_whose_schema_stays_unknown_is_given_up() -> None:
    unknown = nack(1, Refusal.UNKNOWN_SCHEMA)
    session, actions = after(*LIVE, taken(1), unknown, unknown)
    assert actions == (Discard(1, Refusal.UNKNOWN_SCHEMA),)
    assert session.window == {}


@pytest.mark.parametrize("reason", [Refusal.BAD_DATA, Refusal.TOO_BIG, Refusal.QUOTA])
def test_a_final_refusal_drops_the_batch(reason: Refusal) -> None:
    session, actions = after(*LIVE, taken(1), taken(2), nack(1, reason))
    assert actions == (Discard(1, reason),)
    assert list(session.window) == [2]


def test_retry_after_holds_the_batch_until_its_time() -> None:
    start = (*LIVE, taken(1), nack(1, Refusal.RETRY_AFTER, 2.5))
    assert after(*start)[1] == (RetryLater(1, 2.5),)
    assert after(*start, RetryDue(1))[1] == (SendBatch(1, Lane.LIVE),)
    assert after(*start, taken(2), RetryDue(1))[1] == (Fetch(BEFORE_ALL, 2, None),)
    replayed = (taken(5), Connected(), welcome(5), found(1), nack(1, Refusal.RETRY_AFTER), RetryDue(1))
    assert after(*replayed)[1] == (SendBatch(1, Lane.REPLAY),)


def test_a_retry_that_comes_after_a_reconnect_does_nothing() -> None:
    start = (*LIVE, taken(1), nack(1, Refusal.RETRY_AFTER, 1.0), Disconnected(), Connected(), welcome(1))
    assert after(*start, RetryDue(1))[1] == ()


def test_a_fenced_stream_is_left() -> None:
    session, actions = after(*LIVE, taken(1), nack(1, Refusal.FENCED))
    assert session.state is State.DISCONNECTED
    assert session.window == {}
    assert actions == (Wait(None), Reconnect(0.0, 1.0))


def test_a_nack_of_a_batch_that_is_not_under_way_is_ignored() -> None:
    before, _ = after(*LIVE, taken(1), ack(1, 0, 2))
    assert step(before, nack(1, Refusal.BAD_DATA)) == (before, ())
    assert step(before, nack(99, Refusal.BAD_DATA)) == (before, ())


@pytest.mark.parametrize(
    ("terms", "reason"),
    [({"max_batch_bytes": 99}, Refusal.TOO_BIG), ({"max_series": 2}, Refusal.TOO_MANY_SERIES)],
)
def test_what_the_collector_said_it_never_takes_is_not_sent(terms: dict[str, int], reason: Refusal) -> None:
    _, actions = after(Connected(), welcome(0, **terms), taken(1))
    assert actions == (Discard(1, reason),)


def test_a_collector_that_stops_acknowledging_is_not_fed_for_ever() -> None:
    session, _ = after(*LIVE, *(event for n in range(1, 30) for event in (taken(n), found(*range(1, n)))))
    assert session.under_way(Lane.LIVE) == 16


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


def test_the_collector_sets_the_interval() -> None:
    assert after(*LIVE, IntervalSet(3.0))[1] == (SetInterval(3.0),)
    assert after(*LIVE, IntervalSet(-3.0))[1] == (SetInterval(0.1),)


def test_a_heartbeat_is_sent_only_on_a_live_stream() -> None:
    assert after(*LIVE, HeartbeatDue())[1] == (SendHeartbeat(),)
    assert after(Connected(), HeartbeatDue())[1] == ()


def test_goodbye_is_said_where_somebody_listens() -> None:
    assert after(*LIVE, Goodbye()) == (replace(after(*LIVE)[0], state=State.STOPPED), (SendGoingAway(), Stop(None)))
    assert after(Goodbye())[1] == (Stop(None),)
    assert after(Connected(), Goodbye())[1] == (Stop(None),)


@pytest.mark.parametrize("events", [(), (Connected(),), LIVE, (*LIVE, GoAwayReceived(Farewell.DRAIN, 0.0, 0.0))])
def test_every_stream_can_rest_and_nothing_but_its_end_or_the_agents_ends_that(events: tuple[Event, ...]) -> None:
    session, actions = after(*events, taken(1), Resting())
    assert session.state is State.RESTING
    assert actions[-1] == Rest()
    assert session.window == {}
    for late in (Connected(), Disconnected(), TimeUp(), HeartbeatDue(), taken(2)):
        session, actions = step(session, late)
        assert (session.state, actions) == (State.RESTING, ())
    assert step(session, Goodbye()) == (replace(session, state=State.STOPPED), (Stop(None),))
    session, actions = step(session, Resumed())
    assert (session.state, actions) == (State.DISCONNECTED, (Reconnect(0.0, 0.0),))
    assert session.newest == entry(2)


def test_a_rest_is_told_where_somebody_listens() -> None:
    assert after(*LIVE, Resting())[1] == (SendGoingAway(), Rest())
    assert after(Resting())[1] == (Rest(),)


def test_every_state_but_stopped_knows_a_goodbye_and_a_round() -> None:
    for state in set(State) - {State.STOPPED}:
        assert (state, Goodbye) in TABLE
        assert (state, RoundTaken) in TABLE


class Model(RuleBasedStateMachine):
    """A collector that acknowledges, refuses, breaks off and rewinds as it likes, and checks what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session()
        self.spool: dict[int, Entry] = {}
        self.durable: set[int] = set()  # acknowledged in the spool
        self.next_seq = 1
        self.acked: set[int] = set()  # durable at the collector, and the agent was told
        self.discarded: set[int] = set()
        self.owed: dict[int, Lane] = {}  # received in this stream, not yet answered
        self.rewound: set[int] = set()
        self.schemas: set[bytes] = set()
        self.credits = 0
        self.held: set[int] = set()
        self.leaving = False

    def tell(self, event: Event) -> None:
        waiting = deque([event])
        while waiting:
            self.session, actions = step(self.session, waiting.popleft())
            waiting.extend(answer for action in actions if (answer := self.get(action)) is not None)

    def get(self, action: Action) -> Event | None:
        match action:
            case SendSchema(schema):
                self.schemas.add(schema)
            case SendBatch(seq, lane):
                return self.get_batch(seq, lane)
            case Fetch(behind, count, rewind):
                return Found(tuple(self.waiting(behind, rewind))[:count])
            case Acknowledge(seqs):
                self.durable |= set(seqs)
            case AcknowledgeBelow(seq):
                self.durable |= {s for s in self.spool if s < seq}
            case Discard(seq, _):
                assert seq not in self.acked
                self.discarded.add(seq)
                self.spool.pop(seq, None)
            case RetryLater(seq, _):
                self.held.add(seq)
            case Reconnect() | Stop():
                self.forget_stream()
        return None

    def waiting(self, behind: int, rewind: Rewind | None) -> Iterator[Entry]:
        for seq, each in sorted(self.spool.items()):
            wanted = seq not in self.durable or (rewind is not None and rewind.wants(seq, each.boottime_ns))
            if seq > behind and wanted:
                yield each

    def get_batch(self, seq: int, lane: Lane) -> Event | None:
        assert seq not in self.owed, "sent twice without a reason"
        assert seq not in self.acked or seq in self.rewound, "an acknowledged batch was sent again"
        assert seq not in self.discarded, "a batch refused for good was sent again"
        assert not self.leaving, "sent while draining"
        if seq not in self.spool:
            return Gone(seq)
        assert self.spool[seq].schema in self.schemas, "a batch before its schema"
        if lane is Lane.LIVE:
            assert seq == max(self.spool), "only the newest round is live"
        else:
            assert sum(each is Lane.REPLAY for each in self.owed.values()) < self.credits
        self.owed[seq] = lane
        return None

    def forget_stream(self) -> None:
        self.owed, self.schemas, self.held, self.leaving = {}, set(), set(), False

    @rule(schema=st.sampled_from([S, T]))
    def a_round(self, schema: bytes) -> None:
        self.spool[self.next_seq] = entry(self.next_seq, schema)
        self.next_seq += 1
        self.tell(taken(self.next_seq - 1, schema))

    @precondition(lambda self: len(self.spool) > 1)
    @rule(data=st.data())
    def the_spool_loses_one(self, data: st.DataObject) -> None:
        lost = data.draw(st.sampled_from(sorted(self.spool)[:-1]))
        del self.spool[lost]

    @rule()
    def the_disk_comes_back(self) -> None:
        self.tell(Recovered())

    @precondition(lambda self: self.session.state is State.DISCONNECTED)
    @rule()
    def connect(self) -> None:
        self.tell(Connected())

    @precondition(lambda self: self.session.state is State.GREETING)
    @rule(data=st.data(), credits_=st.integers(0, 3), age=st.integers(0, 5))
    def greet(self, data: st.DataObject, credits_: int, age: int) -> None:
        through = 0
        while through + 1 < self.next_seq and (through + 1 in self.acked or through + 1 not in self.spool):
            through += 1
        self.credits = credits_
        rewind = data.draw(st.none() | st.integers(0, self.next_seq))
        if rewind is not None:
            self.rewound |= {seq for seq in self.spool if seq >= rewind}
        event = welcome(self.next_seq - 1 + age, resume_seq=through + 1, replay_credits=credits_)
        self.tell(replace(event, rewind_from_ns=None if rewind is None else rewind * 15 * SECOND))

    @precondition(lambda self: self.owed)
    @rule(data=st.data(), credits_=st.integers(0, 3))
    def acknowledge(self, data: st.DataObject, credits_: int) -> None:
        through = dict.fromkeys(Lane, 0)
        for lane in Lane:
            seqs = [0, *(seq for seq, each in self.owed.items() if each is lane)]
            through[lane] = data.draw(st.sampled_from(seqs))
        self.acked |= {seq for seq, lane in self.owed.items() if seq <= through[lane]}
        self.owed = {seq: lane for seq, lane in self.owed.items() if seq > through[lane]}
        self.credits = credits_
        self.tell(ack(through[Lane.LIVE], through[Lane.REPLAY], credits_))

    @precondition(lambda self: self.owed)
    @rule(data=st.data(), reason=st.sampled_from(Refusal))
    def refuse(self, data: st.DataObject, reason: Refusal) -> None:
        seq = data.draw(st.sampled_from(sorted(self.owed)))
        del self.owed[seq]
        self.acked.discard(seq)
        if reason is Refusal.UNKNOWN_SCHEMA:
            self.schemas.discard(self.session.window[seq].schema)
        self.tell(nack(seq, reason, 1.0))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(self.held)))
        self.held.discard(seq)
        self.tell(RetryDue(seq))

    @precondition(lambda self: self.session.state is not State.DISCONNECTED)
    @rule()
    def break_off(self) -> None:
        self.tell(Disconnected())

    @precondition(lambda self: self.session.state is State.LIVE)
    @rule()
    def drain(self) -> None:
        self.leaving = True
        self.tell(GoAwayReceived(Farewell.DRAIN, 1.0, 2.0))

    @rule()
    def time_passes(self) -> None:
        self.tell(TimeUp())
        self.tell(HeartbeatDue())

    @invariant()
    def the_session_holds_no_more_than_its_window(self) -> None:
        assert len(self.session.window) <= 16 + 3 + len(self.held) + self.next_seq // 4
        assert self.session.window.keys() == self.session.progress.keys()

    def teardown(self) -> None:
        """However it went, a collector that behaves gets all that is left."""
        self.tell(Disconnected())
        self.tell(Connected())
        self.credits = 2
        self.tell(welcome(self.next_seq, resume_seq=0, replay_credits=2))
        while self.owed:
            top = {lane: max((s for s, each in self.owed.items() if each is lane), default=0) for lane in Lane}
            self.acked |= set(self.owed)
            self.owed = {}
            self.tell(ack(top[Lane.LIVE], top[Lane.REPLAY]))
        assert set(self.spool) <= self.acked


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_a_backlog_of_a_day_costs_no_more_an_ack_than_a_short_one() -> None:
    """Counted, not timed: the window and the actions of an ack, over 5,760 batches that wait."""
    session = after(taken(6000), Connected(), welcome(6000, replay_credits=4))[0]
    session, _ = step(session, found(1, 2, 3, 4))
    for seq in range(5, 5760):
        session, actions = step(session, ack(0, seq - 4, 4))
        assert actions == (Acknowledge((seq - 4,)), Fetch(seq - 1, 1, None))
        session, actions = step(session, found(seq))
        assert actions == (SendBatch(seq, Lane.REPLAY),)
        assert len(session.window) == 5
