"""A host that comes back with a backlog: true starts, missed incidents, never a ticket for what is over."""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, AlertState, EventKind
from collector.head import Head
from collector.ingest.columns import columns_of
from collector.ingest.demand import wants
from collector.ingest.engine import Engine
from collector.ingest.events import Append, Mark
from collector.ingest.stamp import Identity
from collector.metrics import Metrics
from collector.rules.load import load_text
from collector.rules.schedule import Schedule
from collector.store.errors import StoreError
from collector.store.gaps import Missed

NOW = 1_800_000_000.0
LIVE, REPLAY = 1, 2
Wire = Any  # the class in this folder's conftest.py
Course = Callable[[float], float]  # the host's value at a time

HIGH = """
groups:
- name: g
  rules:
  - {alert: High, expr: node_thing > 90, for: 5m}
"""


class Room:
    """An engine by hand, and hosts that were cut off and come back at NOW."""

    def __init__(self, wire: Wire, at: float = NOW, rules: str = HIGH, alerts: Sequence[Alert] = ()) -> None:
        self.at = at
        self.down = False
        self.rows = {alert.key: alert for alert in alerts}
        self.events: list[AlertEvent] = []
        self.missed: list[Missed] = []
        self.acked: dict[str, list[Mark]] = {}
        self.seq: dict[str, int] = {}
        self.schema = wire.gauges(1)
        self.groups = load_text(rules, "r.yml")
        self.start()

    def start(self) -> None:
        """A collector's process begins with what the database holds."""
        groups, alerts = self.groups, list(self.rows.values())
        self.engine = Engine(
            head=Head(),
            schedule=lambda online: Schedule(groups, alerts, started_at=self.at, host_online=online),
            commit=self.commit,
            clock=lambda: self.at,
            metrics=Metrics(),
            wants=wants(groups),
            groups=groups,
            missed=self.write_missed,
        )

    def commit(self, changes: AlertChanges, _: float) -> Sequence[Alert]:
        if self.down:
            raise StoreError("away")
        self.rows.update({alert.key: alert for alert in changes.upserts})
        for key in changes.deletes:
            self.rows.pop(key, None)
        self.events += changes.events
        return changes.upserts

    def write_missed(self, rows: Sequence[Missed]) -> None:
        if self.down:
            raise StoreError("away")
        self.missed += rows

    def send(
        self,
        host: str,
        at: float,
        value: float,
        lane: int,
        *,
        judged: float = 0.0,
        gen: int = 1,
        slept: float = 0.0,
        hello_at: float = NOW,
    ) -> None:
        identity = Identity(f"id-{host}", host, host, "acme", "waw", "server")
        columns = columns_of(self.schema, identity)
        self.seq[host] = self.seq.get(host, 0) + 1
        batch = Append(
            Mark(gen, "e", lane, self.seq[host]),
            at,
            columns,
            b"",
            struct.pack("<d", value),
            replay=lane == REPLAY,
            edge=lane == LIVE,
            hello_at=hello_at,
            judged=judged,
            slept=slept,
        )
        self.engine.append(identity.agent_id, host, 15.0, batch, self.acked.setdefault(host, []).extend)

    def turn(self, seconds: float = 0.0) -> None:
        self.at += seconds
        self.engine._drain(0.0)
        self.engine._turn()

    def live(self, host: str, course: Course, seconds: float, *, gen: int = 1) -> None:
        """Rounds of the present, each 15 s."""
        for _ in range(int(seconds // 15)):
            self.send(host, self.at, course(self.at), LIVE, gen=gen)
            self.turn(15.0)

    def backlog(self, host: str, course: Course, hours: float, *, judged: float = 0.0) -> None:
        """Every round from the beginning of the gap to the Hello, as fast as acks allow."""
        for number in range(int(hours * 240)):
            at = NOW - hours * 3600 + 15 * number
            self.send(host, at, course(at), REPLAY, judged=judged)

    def settle(self, seconds: float = 20.0) -> None:
        for _ in range(int(seconds * 2)):
            self.turn(0.5)

    def fired(self) -> list[AlertEvent]:
        return [event for event in self.events if event.kind is EventKind.FIRED]


@pytest.fixture
def room(wire: Wire) -> Room:
    return Room(wire)


def between(start: float, end: float) -> Course:
    return lambda at: 95.0 if start <= at < end else 10.0


def test_what_is_still_true_fires_at_once_with_its_true_start(room: Room) -> None:
    course = between(NOW - 5000, NOW + 9e9)
    room.backlog("pc1", course, 3.0)
    room.settle()
    assert room.fired() == []
    room.live("pc1", course, 60)
    (event,) = room.fired()
    assert event.at <= NOW + 80
    assert event.started_at == pytest.approx(NOW - 5000, abs=90)
    assert room.missed == []


def test_the_live_edge_may_come_before_the_backlog(room: Room) -> None:
    course = between(NOW - 5000, NOW + 9e9)
    room.live("pc1", course, 30)
    room.seq["pc1"] -= 2 + 720
    room.backlog("pc1", course, 3.0)
    room.live("pc1", course, 60)
    (event,) = room.fired()
    assert event.started_at == pytest.approx(NOW - 5000, abs=90)


def test_what_began_and_ended_unseen_is_a_row_and_never_a_ticket(room: Room) -> None:
    course = between(NOW - 6000, NOW - 4000)
    room.backlog("pc1", course, 3.0)
    room.settle()
    room.live("pc1", course, 600)
    assert room.events == []
    (missed,) = room.missed
    assert (missed.instance, missed.rule, missed.value) == ("pc1", "High", 95.0)
    assert (missed.start, missed.end) == pytest.approx((NOW - 6000, NOW - 4000), abs=130)


def test_what_was_not_true_for_long_enough_is_nothing(room: Room) -> None:
    course = between(NOW - 6000, NOW - 5800)
    room.backlog("pc1", course, 3.0)
    room.settle()
    room.live("pc1", course, 60)
    assert (room.events, room.missed, room.rows) == ([], [], {})


def test_what_ends_between_backlog_and_live_edge_is_a_missed_incident(room: Room) -> None:
    course = between(NOW - 6000, NOW - 1)
    room.backlog("pc1", course, 3.0)
    room.settle()
    assert room.fired() == []
    room.live("pc1", course, 60)
    assert room.fired() == []
    (missed,) = room.missed
    assert missed.start == pytest.approx(NOW - 6000, abs=90)
    assert room.rows == {}


def test_a_pending_alert_neither_restarts_nor_skips_over_the_gap(wire: Wire) -> None:
    true = between(0, 9e9 + NOW)
    began = NOW - 3600 - 120
    room = Room(wire, began)
    room.live("pc1", true, 120, gen=0)
    room.at = NOW - 1800
    room.turn()
    ((key, row),) = room.rows.items()
    assert row.state is AlertState.PENDING
    room.at = NOW
    room.backlog("pc1", true, 1.0)
    room.settle()
    room.live("pc1", true, 30)
    (event,) = room.fired()
    assert event.key == key
    assert event.started_at == pytest.approx(began, abs=16)


def test_a_pending_alert_that_was_false_within_the_gap_waits_anew(wire: Wire) -> None:
    room = Room(wire, NOW - 3600 - 120)
    room.live("pc1", lambda _: 95.0, 120, gen=0)
    room.at = NOW
    course = between(NOW - 60, NOW + 9e9)
    room.backlog("pc1", course, 1.0)
    room.settle()
    room.live("pc1", course, 120)
    assert room.fired() == []
    room.live("pc1", course, 240)
    (event,) = room.fired()
    assert event.started_at == pytest.approx(NOW - 60, abs=70)


def test_hours_the_host_was_off_count_neither_as_true_nor_as_false(room: Room) -> None:
    def course(at: float) -> float:
        return 95.0 if at > NOW - 7300 else 10.0

    for number in range(720):
        at = NOW - 10800 + 15 * number
        if not NOW - 7200 <= at < NOW - 60:  # it ran for 100 s with the fault, then again since a minute
            room.send("pc1", at, course(at), REPLAY)
    room.settle()
    room.live("pc1", course, 60)
    assert room.fired() == []
    room.live("pc1", course, 300)
    assert len(room.fired()) == 1


def test_a_firing_alert_that_ended_in_the_gap_recovers_by_proof_and_is_no_missed_incident(wire: Wire) -> None:
    room = Room(wire, NOW - 3600 - 450)
    room.live("pc1", lambda _: 95.0, 450, gen=0)
    assert len(room.fired()) == 1
    room.at = NOW
    room.backlog("pc1", lambda _: 10.0, 1.0)
    room.settle()
    room.live("pc1", lambda _: 10.0, 60)
    assert [e.kind for e in room.events if e.kind is not EventKind.UNKNOWN] == [EventKind.FIRED, EventKind.RECOVERED]
    assert room.missed == []


def test_acks_of_a_backlog_wait_for_the_look_that_consumed_it(room: Room) -> None:
    course = between(NOW - 6000, NOW - 4000)
    room.backlog("pc1", course, 3.0)
    room.down = True
    room.settle()
    over = 240 * (10_800 - 4000) / 3600  # the round that shows the end of what has to be written
    assert max((mark.seq for mark in room.acked["pc1"]), default=0) < over
    room.down = False
    room.settle()
    assert [mark.seq for mark in room.acked["pc1"]] == list(range(1, 721))
    assert len(room.missed) == 1


def test_what_waited_for_a_look_is_no_sign_of_too_much_load(room: Room) -> None:
    room.backlog("pc1", between(0, 0), 0.4)
    room.turn(1.0)
    room.turn(20.0)
    room.at += 1.0
    assert room.engine._state.looked
    assert room.engine.load.lag == 0.0
    room.turn()
    assert room.acked["pc1"]


def test_what_was_judged_before_a_restart_is_not_looked_at_again(room: Room) -> None:
    """The rewind brings the last half hour once more; the collector was away for 20 s of it."""
    room.backlog("pc1", between(NOW - 1500, NOW - 600), 0.5, judged=NOW - 20)
    room.turn(1.0)
    assert len(room.acked["pc1"]) == 120
    room.live("pc1", between(0, 0), 60)
    assert (room.events, room.missed) == ([], [])


def test_only_the_part_of_a_rewind_that_nobody_judged_counts(room: Room) -> None:
    judged = NOW - 900
    room.backlog(
        "pc1", lambda at: 95.0 if NOW - 1700 <= at < NOW - 1200 or at >= NOW - 700 else 10.0, 0.5, judged=judged
    )
    room.settle()
    room.live("pc1", lambda _: 95.0, 30)
    (event,) = room.fired()
    assert event.started_at == pytest.approx(NOW - 700, abs=70)
    assert room.missed == []


def test_two_hundred_hosts_come_through_together(room: Room) -> None:
    names = [f"pc{number}" for number in range(200)]
    for number in range(0, 240, 8):
        at = NOW - 3600 + 15 * number
        for name in names:
            room.send(name, at, 95.0, REPLAY)
    room.settle(60.0)
    assert room.engine._hindsight.shadow.hosts == 0
    for name in names:
        room.send(name, room.at, 95.0, LIVE)
    room.turn(15.0)
    assert len(room.fired()) == 200


def test_a_host_that_dawdles_does_not_hold_the_others_back(room: Room) -> None:
    room.send("slow", NOW - 3600, 10.0, REPLAY)
    room.backlog("pc1", between(0, 0), 1.0)
    for _ in range(120):
        room.send("slow", room.seq["slow"] + NOW - 3600, 10.0, REPLAY)
        room.turn(0.5)
    assert len(room.acked["pc1"]) == 240


def test_without_room_a_backlog_is_taken_without_a_look_back(room: Room) -> None:
    room.engine._hindsight.shadow._most_bytes = -1
    room.backlog("pc1", between(NOW - 6000, NOW - 4000), 3.0)
    room.turn(1.0)
    assert len(room.acked["pc1"]) == 720
    assert room.missed == []
    assert room.engine._hindsight.shadow.turned_away == 1


# --- sleep ---


def test_for_does_not_count_a_sleep(room: Room) -> None:
    room.live("pc1", lambda _: 95.0, 240)
    room.at += 60.0
    room.send("pc1", room.at, 95.0, LIVE, slept=60.0)
    room.turn(1.0)
    assert room.fired() == []
    room.live("pc1", lambda _: 95.0, 30)
    assert room.fired() == []
    room.live("pc1", lambda _: 95.0, 60)
    assert len(room.fired()) == 1


@pytest.mark.parametrize("expr", ["delta(node_thing[10m]) > 50", "max_over_time(node_thing[10m]) - 0 > 90"])
def test_no_window_reaches_over_a_sleep(wire: Wire, expr: str) -> None:
    rules = f"groups: [{{name: g, rules: [{{alert: High, expr: '{expr}'}}]}}]"
    room = Room(wire, NOW, rules)
    room.live("pc1", lambda _: 10.0 if "delta" in expr else 89.0, 120)
    room.send("pc1", room.at, 10.0 if "delta" in expr else 99.0, LIVE)
    room.at += 5.0
    room.send("pc1", room.at + 100, 90.0 if "delta" in expr else 20.0, LIVE, slept=100.0)
    room.at += 100
    room.engine._drain(0.0)
    room.turn(1.0)
    fired_before = len(room.fired())
    room.live("pc1", lambda _: 90.0 if "delta" in expr else 20.0, 60)
    assert len(room.fired()) == fired_before == 0
