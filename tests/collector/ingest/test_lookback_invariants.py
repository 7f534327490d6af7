"""Invariants over any course of a host that is cut off again and again and a collector that dies."""

from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector.alerts.alert import AlertEvent, AlertState, EventKind
from tests.collector.ingest.test_lookback import LIVE, REPLAY, Room

Wire = Any  # the class in this folder's conftest.py


class Stretch(NamedTuple):
    """Some rounds of a host: whether its condition is true, it is connected, the collector dies then."""

    rounds: int
    high: bool
    connected: bool
    dies: bool = False
    down: int = 0  # more rounds of the same, which nobody hears if the collector died


COURSES = st.lists(
    st.builds(Stretch, st.sampled_from([1, 5, 25, 45]), st.booleans(), st.booleans(), st.booleans(), st.just(0)),
    min_size=1,
    max_size=4,
)
END = [Stretch(4, False, True), Stretch(30, True, True)]


class Played:
    """A course played to an engine; what the newest fresh sample was at each event."""

    def __init__(self, wire: Wire, course: list[Stretch], *, deaths: bool) -> None:
        self.room = room = Room(wire)
        self.kept: list[tuple[float, float]] = []  # the last half hour, for a rewind
        self.waiting: list[tuple[float, float]] = []
        self.gen, self.fresh, self.cut = 0, (0.0, 0.0), True
        self.proofs: list[tuple[AlertEvent, float, float]] = []
        for part in course:
            for _ in range(part.rounds):
                self.round(95.0 if part.high else 10.0, connected=part.connected)
            for _ in range(part.down if part.dies and not deaths else 0):
                self.round(95.0 if part.high else 10.0, connected=part.connected)
            if part.dies and deaths:
                for _ in range(part.down):
                    self.waiting.append((room.at, 95.0 if part.high else 10.0))
                    room.at += 15.0
                room.start()
                self.waiting = [one for one in self.kept if one[0] > room.at - 1800.0] + self.waiting
                self.kept, self.cut, self.gen = [], True, self.gen + 1

    def round(self, value: float, *, connected: bool) -> None:
        room = self.room
        sample = (room.at, value)
        if not connected:
            self.cut = True
            self.waiting.append(sample)
        else:
            self.deliver(sample)
        for _ in range(3):
            self.turn(5.0)

    def turn(self, seconds: float) -> None:
        before = len(self.room.events)
        self.room.turn(seconds)
        self.proofs += [(event, *self.fresh) for event in self.room.events[before:]]

    def deliver(self, sample: tuple[float, float]) -> None:
        room = self.room
        if self.cut:
            self.gen, self.cut, self.hello_at = self.gen + 1, False, room.at - 0.5
        backlog = sorted(set(self.waiting))
        for at, value in backlog:
            judged = self.fresh[0] if at <= self.fresh[0] else 0.0
            room.send("pc1", at, value, REPLAY, gen=self.gen, hello_at=self.hello_at, judged=judged)
        for _ in range(6 if backlog else 0):  # the past comes first, and must not be taken for the present
            self.turn(2.0)
        room.send("pc1", *sample, LIVE, gen=self.gen, hello_at=self.hello_at)
        self.fresh, self.waiting = sample, []
        self.kept += [*backlog, sample]

    def kinds(self) -> list[EventKind]:
        return [e.kind for e in self.room.events if e.kind not in (EventKind.UNKNOWN, EventKind.KNOWN)]


PLAY = settings(max_examples=10, deadline=None)
AT_ONCE = "groups: [{name: g, rules: [{alert: High, expr: node_thing > 90}]}]"


@given(rounds=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=4, max_size=20))
@example(rounds=[(False, False), (True, True)])
@PLAY
def test_i1_what_is_acknowledged_is_in_the_database(wire: Wire, rounds: list[tuple[bool, bool]]) -> None:
    """Rounds of a host, high or not, while the database is away or not: the rows are those of the newest one acked."""
    room = Room(wire, rules=AT_ONCE)
    for number, (high, away) in enumerate(rounds):
        room.down = away
        room.send("pc1", room.at, 95.0 if high else 10.0, LIVE)
        for _ in range(3):
            room.turn(5.0)
        acked = max((mark.seq for mark in room.acked["pc1"]), default=0)
        assert bool(room.rows) == (acked > 0 and rounds[acked - 1][0])
        assert away or acked == number + 1


BACK = [Stretch(4, False, True), Stretch(45, True, False), Stretch(3, True, True)]


@given(course=COURSES)
@PLAY
def test_i4_what_began_unseen_has_its_ticket_at_the_live_edge(wire: Wire, course: list[Stretch]) -> None:
    played = Played(wire, [*course, *BACK], deaths=True)
    (row,) = played.room.rows.values()
    assert row.state is AlertState.FIRING
    assert row.active_since == pytest.approx(played.room.at - 48 * 15.0, abs=76)


@given(course=COURSES)
@PLAY
def test_i4_every_live_edge_episode_has_its_one_ticket(wire: Wire, course: list[Stretch]) -> None:
    played = Played(wire, [*course, *END], deaths=True)
    kinds = played.kinds()
    assert kinds.count(EventKind.FIRED) - kinds.count(EventKind.RECOVERED) == 1
    (row,) = played.room.rows.values()
    assert row.state is AlertState.FIRING


@given(course=COURSES)
@example(course=[Stretch(5, True, True), Stretch(45, True, False)])  # it fell silent while it was pending
@example(course=[Stretch(1, False, True), Stretch(45, True, False), Stretch(1, False, True)])  # over by its return
@example(course=[Stretch(5, True, True), Stretch(25, True, False, dies=True), Stretch(1, False, True)])
@PLAY
def test_i5_no_ticket_rests_on_old_data_alone(wire: Wire, course: list[Stretch]) -> None:
    for event, at, value in Played(wire, course, deaths=True).proofs:
        if event.kind is EventKind.FIRED:
            assert value > 90
            assert event.at - at <= 40.0


@given(course=COURSES)
@example(course=[Stretch(25, True, True), Stretch(45, True, False)])  # it fell silent while it was firing
@example(course=[Stretch(25, True, True), Stretch(45, False, False), Stretch(1, True, True)])
@PLAY
def test_i6_no_recovery_without_fresh_false_evidence(wire: Wire, course: list[Stretch]) -> None:
    for event, at, value in Played(wire, course, deaths=True).proofs:
        if event.kind is EventKind.RECOVERED:
            assert value <= 90
            assert event.at - at <= 40.0


@given(course=COURSES)
@PLAY
def test_i8_every_transition_is_told_once_and_in_turn(wire: Wire, course: list[Stretch]) -> None:
    kinds = Played(wire, course, deaths=True).kinds()
    wanted = [EventKind.FIRED, EventKind.RECOVERED] * len(kinds)
    assert kinds == wanted[: len(kinds)]


DEATHS = st.lists(
    st.builds(
        Stretch,
        st.sampled_from([1, 5, 25]),
        st.booleans(),
        st.just(True),
        st.booleans(),
        st.sampled_from([0, 0, 1, 8, 30]),
    ),
    min_size=1,
    max_size=4,
)


@given(course=DEATHS, high=st.booleans())
@PLAY
def test_i9_after_a_crash_all_is_as_without_one(wire: Wire, course: list[Stretch], high: bool) -> None:
    """Whatever lay between a death and the next start, and however often: what is over meanwhile makes no event.

    It is a row instead: each episode of the uninterrupted run is told once, as an event or as a row, and no other is.
    A collector that dies mid look-back forgets the shadow's state; rows are compared where it has time to look.
    """
    last = Stretch(30, high, True)
    one, other = (Played(wire, [*course, last], deaths=deaths) for deaths in (False, True))
    rows, others = ({k: (r.state, r.active_since) for k, r in each.room.rows.items()} for each in (one, other))
    assert {k: state for k, (state, _) in rows.items()} == {k: state for k, (state, _) in others.items()}
    assert all(since == pytest.approx(others[key][1], abs=76) for key, (_, since) in rows.items())
    begun, again = ([event.started_at for event in each.room.fired()] for each in (one, other))
    assert all(any(abs(start - at) <= 76 for start in begun) for at in again)
    rows_of = [row.start for row in other.room.missed]
    assert all(any(abs(start - at) <= 76 for start in begun) for at in rows_of)
    assert not any(abs(start - at) <= 76 for at in rows_of for start in again)
    if all(part.rounds >= 5 for part in course):
        assert sorted([*again, *rows_of]) == pytest.approx(begun, abs=76)
    if not any(part.dies and part.down for part in course):
        assert one.kinds() == other.kinds()
        assert again == pytest.approx(begun, abs=76)
