"""The uplink's table against a model of a collector that does anything it may."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.events import (
    Acknowledge,
    AcknowledgeBelow,
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
    HeartbeatDue,
    Lane,
    Reconnect,
    Recovered,
    Refusal,
    RetryDue,
    RetryLater,
    Rewind,
    SendBatch,
    SendSchema,
    Stop,
    TimeUp,
)
from agent.session import Session, State, step
from tests.agent.steps import SECOND, S, T, ack, after, entry, found, nack, taken, welcome


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
