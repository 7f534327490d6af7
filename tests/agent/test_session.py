"""The table, row by row, then against a model of a collector that does anything it may."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.events import (
    Acknowledge,
    AckReceived,
    Action,
    Connected,
    Discard,
    Disconnected,
    Entry,
    Event,
    Farewell,
    GoAwayReceived,
    Goodbye,
    HeartbeatDue,
    IntervalSet,
    Lane,
    NackReceived,
    Progress,
    Reconnect,
    Refusal,
    Rest,
    Resting,
    Resumed,
    RetryDue,
    RetryLater,
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
from agent.session import TABLE, Session, State, step

SECOND = 1_000_000_000
S, T = b"schema-one", b"schema-two"


def taken(seq: int, schema: bytes = S, *, first: int = 1, series: int = 3, size: int = 100) -> RoundTaken:
    return RoundTaken(Entry(seq, seq * 15 * SECOND, schema, series, size), first)


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


LIVE: tuple[Event, ...] = (Connected(), welcome(0))


def test_hello_is_said_on_a_new_stream() -> None:
    session, actions = after(Connected())
    assert session.state is State.GREETING
    assert actions == (SendHello(), Wait(20.0))


def test_a_welcome_sets_interval_and_heartbeat() -> None:
    session, actions = after(Connected(), welcome(0, interval=5.0, heartbeat=7.0))
    assert session.state is State.LIVE
    assert actions == (Wait(None), SetInterval(5.0), SetHeartbeat(7.0), Acknowledge(()))


def test_a_silent_collector_is_left_after_the_greeting_time() -> None:
    session, actions = after(Connected(), TimeUp())
    assert session.state is State.DISCONNECTED
    assert actions == (Wait(None), Reconnect(0.0, 1.0))


def test_the_schema_goes_once_before_its_first_batch() -> None:
    assert sends(after(*LIVE, taken(1))[1]) == [SendSchema(S), SendBatch(1, Lane.LIVE)]
    assert sends(after(*LIVE, taken(1), taken(2))[1]) == [SendBatch(2, Lane.LIVE)]
    assert sends(after(*LIVE, taken(1), taken(2, T))[1]) == [SendSchema(T), SendBatch(2, Lane.LIVE)]


def test_only_the_newest_round_is_live_after_a_reconnect() -> None:
    _, actions = after(taken(1), taken(2), taken(3), Connected(), welcome(3))
    assert sends(actions) == [
        SendSchema(S),
        SendBatch(3, Lane.LIVE),
        SendBatch(1, Lane.REPLAY),
        SendBatch(2, Lane.REPLAY),
    ]


def test_a_newest_round_that_is_old_is_history_too() -> None:
    _, actions = after(taken(1), Connected(), welcome(100))
    assert sends(actions) == [SendSchema(S), SendBatch(1, Lane.REPLAY)]


def test_replay_is_bounded_by_credits_and_goes_on_with_acks() -> None:
    start: list[Event] = [*(taken(n) for n in range(1, 6)), Connected(), welcome(5)]
    assert sends(after(*start)[1])[2:] == [SendBatch(1, Lane.REPLAY), SendBatch(2, Lane.REPLAY)]
    _, actions = after(*start, AckReceived(0, 1, 2))
    assert actions == (Acknowledge((1,)), SendBatch(3, Lane.REPLAY))


def test_no_credits_stop_the_replay_and_new_ones_resume_it() -> None:
    start = (taken(1), taken(2), Connected(), welcome(2, replay_credits=0))
    assert sends(after(*start)[1]) == [SendSchema(S), SendBatch(2, Lane.LIVE)]
    assert sends(after(*start, AckReceived(2, 0, 5))[1]) == [SendBatch(1, Lane.REPLAY)]


def test_an_ack_of_one_lane_says_nothing_of_the_other() -> None:
    session, _ = after(taken(1), taken(2), Connected(), welcome(2), AckReceived(2, 0, 2))
    assert [e.progress for e in session.entries.values()] == [Progress.REPLAY, Progress.ACKED]


def test_what_the_collector_has_already_is_not_sent_again() -> None:
    _, actions = after(taken(1), taken(2), taken(3), Connected(), welcome(3, resume_seq=3))
    assert Acknowledge((1, 2)) in actions
    assert sends(actions) == [SendSchema(S), SendBatch(3, Lane.LIVE)]


def test_a_rewind_sends_again_even_what_was_acknowledged() -> None:
    live = (*LIVE, taken(1), taken(2), taken(3), AckReceived(3, 0, 2), Disconnected(), Connected())
    assert sends(after(*live, welcome(4, resume_seq=4))[1]) == []
    _, actions = after(*live, welcome(100, resume_seq=4, rewind_from_ns=2 * 15 * SECOND))
    assert sends(actions) == [SendSchema(S), SendBatch(2, Lane.REPLAY), SendBatch(3, Lane.REPLAY)]


def test_what_was_under_way_when_the_stream_broke_is_sent_as_replay() -> None:
    _, actions = after(*LIVE, taken(1), taken(2), Disconnected(), taken(3), Connected(), welcome(3))
    assert sends(actions) == [
        SendSchema(S),
        SendBatch(3, Lane.LIVE),
        SendBatch(1, Lane.REPLAY),
        SendBatch(2, Lane.REPLAY),
    ]


def test_an_unknown_schema_is_sent_again_with_its_batch() -> None:
    _, actions = after(*LIVE, taken(1), NackReceived(1, Refusal.UNKNOWN_SCHEMA))
    assert actions == (SendSchema(S), SendBatch(1, Lane.LIVE))


def test_a_batch_whose_schema_stays_unknown_is_given_up() -> None:
    nack = NackReceived(1, Refusal.UNKNOWN_SCHEMA)
    session, actions = after(*LIVE, taken(1), nack, nack)
    assert actions == (Discard(1, Refusal.UNKNOWN_SCHEMA),)
    assert session.entries == {}


@pytest.mark.parametrize("reason", [Refusal.BAD_DATA, Refusal.TOO_BIG, Refusal.QUOTA])
def test_a_final_refusal_drops_the_batch(reason: Refusal) -> None:
    session, actions = after(*LIVE, taken(1), taken(2), NackReceived(1, reason))
    assert actions == (Discard(1, reason),)
    assert list(session.entries) == [2]


def test_retry_after_holds_the_batch_until_its_time() -> None:
    start = (*LIVE, taken(1), NackReceived(1, Refusal.RETRY_AFTER, 2.5))
    assert after(*start)[1] == (RetryLater(1, 2.5),)
    assert after(*start, RetryDue(1))[1] == (SendBatch(1, Lane.LIVE),)
    assert sends(after(*start, taken(2), RetryDue(1))[1]) == [SendBatch(1, Lane.REPLAY)]


def test_a_retry_that_comes_after_a_reconnect_does_nothing() -> None:
    start = (*LIVE, taken(1), NackReceived(1, Refusal.RETRY_AFTER, 1.0), Disconnected(), Connected(), welcome(1))
    assert after(*start, RetryDue(1))[1] == ()


def test_a_fenced_stream_is_left() -> None:
    session, actions = after(*LIVE, taken(1), NackReceived(1, Refusal.FENCED))
    assert session.state is State.DISCONNECTED
    assert session.entries[1].progress is Progress.WAITING
    assert actions == (Wait(None), Reconnect(0.0, 1.0))


def test_a_nack_of_a_batch_that_is_not_under_way_is_ignored() -> None:
    before, _ = after(*LIVE, taken(1), AckReceived(1, 0, 2))
    assert step(before, NackReceived(1, Refusal.BAD_DATA)) == (before, ())
    assert step(before, NackReceived(99, Refusal.BAD_DATA)) == (before, ())


@pytest.mark.parametrize(
    ("terms", "reason"),
    [({"max_batch_bytes": 99}, Refusal.TOO_BIG), ({"max_series": 2}, Refusal.TOO_MANY_SERIES)],
)
def test_what_the_collector_said_it_never_takes_is_not_sent(terms: dict[str, int], reason: Refusal) -> None:
    _, actions = after(Connected(), welcome(0, **terms), taken(1))
    assert actions == (Discard(1, reason),)


def test_a_collector_that_stops_acknowledging_is_not_fed_for_ever() -> None:
    session, _ = after(*LIVE, *(taken(n) for n in range(1, 30)))
    assert session.under_way(Lane.LIVE) == 16


def test_draining_waits_for_what_is_under_way_then_leaves_in_the_window() -> None:
    start = (*LIVE, taken(1), GoAwayReceived(Farewell.DRAIN, 3.0, 9.0))
    session, actions = after(*start)
    assert (session.state, actions) == (State.DRAINING, (Wait(5.0),))
    assert after(*start, taken(2))[1] == ()
    assert after(*start, AckReceived(1, 0, 2))[1] == (Acknowledge((1,)), Wait(None), Reconnect(3.0, 9.0))
    assert after(*start, TimeUp())[1] == (Wait(None), Reconnect(3.0, 9.0))
    assert after(*start, Disconnected())[1] == (Wait(None), Reconnect(3.0, 9.0))


def test_draining_with_nothing_under_way_leaves_at_once() -> None:
    assert after(*LIVE, GoAwayReceived(Farewell.MOVED, 1.0, 2.0))[1][-1] == Reconnect(1.0, 2.0)


def test_nothing_is_sent_again_while_draining() -> None:
    start = (*LIVE, taken(1), taken(2), GoAwayReceived(Farewell.DRAIN))
    session, actions = after(*start, NackReceived(1, Refusal.UNKNOWN_SCHEMA))
    assert (actions, session.entries[1].progress) == ((), Progress.WAITING)
    assert after(*start, NackReceived(1, Refusal.BAD_DATA))[1] == (Discard(1, Refusal.BAD_DATA),)


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
    for event in (Connected(), welcome(0), taken(1), AckReceived(1, 0, 1)):
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
    assert {entry.progress for entry in session.entries.values()} == {Progress.WAITING}
    for late in (Connected(), Disconnected(), TimeUp(), HeartbeatDue(), taken(2)):
        session, actions = step(session, late)
        assert (session.state, actions) == (State.RESTING, ())
    assert step(session, Goodbye()) == (replace(session, state=State.STOPPED), (Stop(None),))
    session, actions = step(session, Resumed())
    assert (session.state, actions) == (State.DISCONNECTED, (Reconnect(0.0, 0.0),))
    assert len(session.entries) == 2


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
        self.next_seq = 1
        self.first_seq = 1
        self.acked: set[int] = set()  # durable at the collector, and the agent was told
        self.discarded: set[int] = set()
        self.owed: dict[int, Lane] = {}  # received in this stream, not yet answered
        self.may_repeat: set[int] = set()
        self.schemas: set[bytes] = set()
        self.credits = 0
        self.held: set[int] = set()
        self.leaving = False

    def tell(self, event: Event) -> None:
        self.session, actions = step(self.session, event)
        for action in actions:
            self.get(action)

    def get(self, action: Action) -> None:
        match action:
            case SendSchema(schema):
                self.schemas.add(schema)
            case SendBatch(seq, lane):
                self.get_batch(seq, lane)
            case Discard(seq, _):
                assert seq not in self.acked
                self.discarded.add(seq)
            case RetryLater(seq, _):
                self.held.add(seq)
            case Reconnect() | Stop():
                self.forget_stream()

    def get_batch(self, seq: int, lane: Lane) -> None:
        assert self.first_seq <= seq < self.next_seq
        assert self.session.entries[seq].schema in self.schemas, "a batch before its schema"
        assert seq not in self.owed, "sent twice without a reason"
        assert seq not in self.acked or seq in self.may_repeat, "an acknowledged batch was sent again"
        assert seq not in self.discarded, "a batch refused for good was sent again"
        assert not self.leaving, "sent while draining"
        if lane is Lane.LIVE:
            assert seq == max(self.session.entries), "only the newest round is live"
        else:
            assert sum(each is Lane.REPLAY for each in self.owed.values()) < self.credits
        self.may_repeat.discard(seq)
        self.owed[seq] = lane

    def forget_stream(self) -> None:
        self.owed, self.schemas, self.held, self.leaving = {}, set(), set(), False

    @rule(schema=st.sampled_from([S, T]), lost=st.integers(0, 2))
    def a_round(self, schema: bytes, lost: int) -> None:
        self.first_seq = min(self.first_seq + lost * (self.next_seq % 5 == 0), self.next_seq)
        self.owed = {seq: lane for seq, lane in self.owed.items() if seq >= self.first_seq}
        self.next_seq += 1
        self.tell(taken(self.next_seq - 1, schema, first=self.first_seq))

    @precondition(lambda self: self.session.state is State.DISCONNECTED)
    @rule()
    def connect(self) -> None:
        self.tell(Connected())

    @precondition(lambda self: self.session.state is State.GREETING)
    @rule(data=st.data(), credits_=st.integers(0, 3), age=st.integers(0, 5))
    def greet(self, data: st.DataObject, credits_: int, age: int) -> None:
        durable = [seq for seq in range(1, self.next_seq) if seq in self.acked]
        through = 0
        while through + 1 in durable or through + 1 in self.discarded or 0 < through + 1 < self.first_seq:
            through += 1
        self.credits = credits_
        rewind = data.draw(st.none() | st.integers(0, self.next_seq))
        if rewind is not None:
            self.may_repeat |= {seq for seq in self.acked if seq >= rewind}
            self.acked -= self.may_repeat
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
        self.tell(AckReceived(through[Lane.LIVE], through[Lane.REPLAY], credits_))

    @precondition(lambda self: self.owed)
    @rule(data=st.data(), reason=st.sampled_from(Refusal))
    def refuse(self, data: st.DataObject, reason: Refusal) -> None:
        seq = data.draw(st.sampled_from(sorted(self.owed)))
        del self.owed[seq]
        if reason is Refusal.UNKNOWN_SCHEMA:
            self.schemas.discard(self.session.entries[seq].schema)
        self.tell(NackReceived(seq, reason, 1.0))

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
    def every_batch_is_accounted_for(self) -> None:
        for seq in range(self.first_seq, self.next_seq):
            assert (seq in self.session.entries) != (seq in self.discarded), seq

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
            self.tell(AckReceived(top[Lane.LIVE], top[Lane.REPLAY], 2))
        left = set(range(self.first_seq, self.next_seq)) - self.discarded
        assert left <= self.acked


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
