import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from collector.ingest.events import (
    Append,
    Committed,
    Mark,
    Said,
    Terms,
)
from collector.ingest.session import MAX_LIVE
from czuwak.v1 import ingest_pb2 as pb
from tests.collector.ingest.talk import LIVE, REPLAY, Wire, opened, said, with_schema


@given(lanes=st.lists(st.booleans(), max_size=700))
@settings(max_examples=20, deadline=None)
def test_i14_one_agent_brings_the_engine_only_so_much_between_two_commits(wire: Wire, lanes: list[bool]) -> None:
    talk, schema = with_schema(wire)
    taken: list[Mark] = []
    for seq, replay in enumerate([*lanes, *[False] * 100], 1):
        talk.hear(said(wire.batch(schema, seq, [1.0, 2.0], lane=REPLAY if replay else LIVE)))
        taken += [action.mark for action in talk.done if isinstance(action, Append)]
    assert sum(mark.lane == LIVE for mark in taken) <= MAX_LIVE
    assert sum(mark.lane == REPLAY for mark in taken) <= 2 * Terms().replay_credits
    talk.hear(Committed(tuple(taken)))
    talk.hear(said(wire.batch(schema, 9000, [1.0, 2.0])))
    assert talk.append().mark.seq == 9000


@given(data=st.binary(max_size=300))
@settings(max_examples=200)
def test_no_bytes_make_a_session_fail(wire: Wire, data: bytes) -> None:
    try:
        message = pb.StreamRequest.FromString(data)
    except DecodeError:
        return
    opened(wire).hear(Said(message, len(data)))


class Delivery(RuleBasedStateMachine):
    """An agent that loses, repeats and reorders against a model that is two sets."""

    wire: Wire

    @initialize()
    def start(self) -> None:
        self.schema = self.wire.gauges(1)
        self.gen = 1
        self.appended: list[tuple[str, int]] = []
        self.pending: list[Mark] = []
        self.durable: set[tuple[str, int]] = set()
        self.talk = opened(self.wire)
        self.talk.hear(said(self.schema))

    @rule(seq=st.integers(1, 40), replay=st.booleans(), epoch=st.sampled_from(["e1", "e2"]))
    def send(self, seq: int, replay: bool, epoch: str) -> None:
        lane = REPLAY if replay else LIVE
        self.talk.hear(said(self.wire.batch(self.schema, seq, [1.0], lane=lane, epoch=epoch)))
        for action in self.talk.done:
            if isinstance(action, Append):
                self.pending.append(action.mark)
                if not action.duplicate:
                    self.appended.append((epoch, seq))

    @rule(count=st.integers(1, 5))
    def commit(self, count: int) -> None:
        marks, self.pending = tuple(self.pending[:count]), self.pending[count:]
        self.durable |= {(mark.epoch, mark.seq) for mark in marks}
        self.talk.hear(Committed(marks))
        for message in self.talk.sent():
            for lane, through in ((LIVE, message.ack.live_through), (REPLAY, message.ack.replay_through)):
                waiting = [
                    m.seq for m in self.pending if (m.gen, m.epoch, m.lane) == (self.gen, message.ack.epoch, lane)
                ]
                received = {seq for e, seq in self.appended if e == message.ack.epoch}
                assert through in received | {0}
                assert waiting is not None

    @rule()
    def reconnect(self) -> None:
        self.gen += 1
        self.talk = opened(self.wire, self.wire.hello(first=1, following=41), self.talk.session, gen=self.gen)
        resume = self.talk.sent()[0].welcome.resume_seq
        assert {("e1", seq) for seq in range(1, resume)} <= self.durable

    @invariant()
    def no_number_has_two_effects(self) -> None:
        assert len(self.appended) == len(set(self.appended))

    @invariant()
    def what_is_durable_was_received(self) -> None:
        for page in self.talk.session.ledger.pages:
            for seq in range(1, 41):
                assert (seq in page.durable) == ((page.epoch, seq) in self.durable)


Delivery.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestDelivery = Delivery.TestCase


@pytest.fixture(autouse=True)
def _wire_for_the_machine(wire: Wire) -> None:
    Delivery.wire = wire
