import math
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from collector.alerts.alert import Alert, AlertChanges, EventKind
from collector.head import Head, Matcher, Selection
from collector.ingest.columns import columns_of
from collector.ingest.demand import wants
from collector.ingest.engine import Engine, turns
from collector.ingest.events import Append, Mark
from collector.ingest.own import named
from collector.ingest.snapshot import Snapshot
from collector.labels import Labels
from collector.metrics import Metrics
from collector.promql import EvaluationError, evaluate, plan
from collector.query.errors import EngineStoppedError
from collector.rules.load import load_text
from collector.rules.schedule import Schedule
from collector.store.errors import StoreError

NOW = 1_800_000_000.0
Wire = Any  # the class in this folder's conftest.py

HIGH = """
groups:
- name: g
  rules:
  - {alert: High, expr: node_thing > 90, for: 10s}
"""


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> float:
        return self.at


class Room:
    """An engine whose thread is not started: each piece of its loop is called by hand."""

    def __init__(
        self,
        wire: Wire,
        rules: str = HIGH,
        alerts: Sequence[Alert] = (),
        *,
        by_demand: bool = False,
        file: Path | None = None,
    ) -> None:
        self.clock = Clock()
        self.down = False
        self.rows: dict[str, Alert] = {alert.key: alert for alert in alerts}
        self.told: list[EventKind] = []
        self.acked: list[Mark] = []
        schema = wire.gauges(1)
        self.columns = columns_of(schema, wire.identity)
        groups = load_text(rules, "r.yml") if rules else ()
        self.metrics = Metrics()
        self.engine = Engine(
            head=Head(),
            schedule=lambda online: Schedule(groups, alerts, started_at=NOW, host_online=online),
            commit=self.commit,
            clock=self.clock,
            metrics=self.metrics,
            wants=wants(groups) if by_demand else None,
            snapshot=Snapshot(file) if file else None,
        )

    def commit(self, changes: AlertChanges, _: float) -> Sequence[Alert]:
        if self.down:
            raise ConnectionError("the database is away")
        self.rows.update({alert.key: alert for alert in changes.upserts})
        for key in changes.deletes:
            self.rows.pop(key, None)
        self.told += [event.kind for event in changes.events]
        return changes.upserts

    def send(self, seq: int, value: float, *, edge: bool = True, at: float | None = None, gen: int = 1) -> None:
        batch = Append(
            Mark(gen, "e", 1, seq),
            self.clock.at if at is None else at,
            self.columns,
            b"",
            struct.pack("<d", value),
            replay=not edge,
            edge=edge,
            hello_at=NOW,
        )
        self.engine.append("a-1", "pc1", 15.0, batch, self.acked.extend)

    def turn(self, seconds: float = 0.0) -> None:
        self.clock.at += seconds
        self.engine._drain(0.0)
        self.engine._turn()

    def values(self) -> dict[str, float]:
        found = self.engine._head.values_of("pc1", self.clock.at)
        return {labels.get("__name__") + labels.get("state"): value for labels, value, _ in found}


@pytest.fixture
def room(wire: Wire) -> Room:
    return Room(wire)


def test_an_ack_comes_only_after_the_commit(room: Room) -> None:
    room.send(1, 95.0)
    room.turn()
    assert [m.seq for m in room.acked] == [1]
    assert len(room.rows) == 1


def test_while_the_database_is_away_nothing_is_acked_and_nothing_lost(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    room.down = True
    for seq in range(1, 15):
        room.send(seq, 95.0)
        room.turn(1.0)
    assert room.acked == []
    assert room.rows == {}
    warnings = [r for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "the database is away" in warnings[0].getMessage()
    assert b"czuwak_collector_database_up 0.0" in room.metrics.text()
    room.down = False
    room.turn(1.0)
    assert [m.seq for m in room.acked] == list(range(1, 15))
    assert len(room.rows) == 1
    assert b"czuwak_collector_database_up 1.0" in room.metrics.text()


def test_evaluations_that_were_left_out_are_counted_for_each_group(room: Room) -> None:
    for seconds in (0.0, 1.0, 5.0, 1.0):
        room.turn(seconds)
    assert b'czuwak_collector_rule_group_missed_evaluations{file="r.yml",group="g"} 4.0' in room.metrics.text()


@pytest.mark.parametrize(
    ("begin", "judged"), [(-8.0, -7.0), (-0.5, 0.0), (0.0, 0.25), (0.5, 0.75), (0.7, 0.95)], ids=str
)
def test_a_full_inbox_keeps_no_evaluation_waiting_until_it_is_left_out(room: Room, begin: float, judged: float) -> None:
    room.turn()
    due = room.engine._due()
    room.clock.at = due + begin
    for _ in range(100):
        room.engine.call(lambda _head, _schedule, _at: setattr(room.clock, "at", room.clock.at + 0.125), urgent=False)
    room.engine._drain(0.0)
    assert room.clock.at == pytest.approx(due + judged, abs=1e-6)


def test_only_while_rules_are_judged_threads_wait_shortly_for_each_other(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, seen = sys.getswitchinterval(), set[tuple[str, float]]()
    select, commit = room.engine._head.select, room.engine._commit_changes

    def selecting(matchers: Sequence[Matcher], start: float, end: float) -> Selection:
        seen.add(("select", round(sys.getswitchinterval(), 6)))
        return select(matchers, start, end)

    def committing(changes: AlertChanges, at: float) -> Sequence[Alert]:
        seen.add(("commit", round(sys.getswitchinterval(), 6)))
        return commit(changes, at)

    monkeypatch.setattr(room.engine._head, "select", selecting)
    room.engine._commit_changes = committing
    for room.down in (False, True):
        room.send(1, 95.0)
        room.turn(1.0)
        assert sys.getswitchinterval() == usual > 1e-3
    assert seen == {("select", 1e-4), ("commit", usual)}


def test_two_engines_of_one_process_leave_no_short_turns_behind() -> None:
    usual = sys.getswitchinterval()
    one, other = turns(1e-4, after=usual), turns(1e-4, after=usual)
    for begins in (one, other):
        begins.__enter__()
    for ends in (one, other):
        ends.__exit__(None, None, None)
    assert sys.getswitchinterval() == usual > 1e-3


def test_nothing_is_judged_before_it_is_known_what_stands(room: Room) -> None:
    away = [True, False]

    def recall(_schedule: Schedule, _at: float) -> None:
        if away.pop(0):
            raise StoreError("the database is away")

    room.engine._recall = recall
    room.send(1, 95.0)
    room.turn()
    assert (room.acked, room.rows) == ([], {})
    room.turn(1.0)
    assert [m.seq for m in room.acked] == [1]
    assert len(room.rows) == 1


def test_an_engine_built_from_the_store_lets_for_go_on(wire: Wire, room: Room) -> None:
    room.send(1, 95.0)
    room.turn()
    (pending,) = room.rows.values()
    again = Room(wire, alerts=[pending])
    again.clock.at = NOW + 11.0
    again.send(1, 95.0)
    again.turn()
    assert again.told == [EventKind.FIRED]
    assert next(iter(again.rows.values())).active_since == pending.active_since


def test_a_silent_host_loses_its_series_after_two_intervals_and_ten_seconds(room: Room) -> None:
    room.send(1, 1.0)
    room.turn()
    room.turn(39.0)
    assert room.values() == {"node_thing": 1.0}
    room.turn(2.0)
    assert room.values() == {}
    assert not room.engine._host_online(Labels.of(instance="pc1"))
    room.clock.at += 1.0
    room.send(2, 2.0)
    room.turn()
    assert room.values() == {"node_thing": 2.0}
    assert room.engine._host_online(Labels.of(instance="pc1"))


def test_a_goodbye_ends_the_series_at_once(room: Room) -> None:
    room.send(1, 1.0)
    room.turn()
    room.engine.goodbye("a-1", room.clock.at + 0.5)
    room.turn(1.0)
    assert room.values() == {}


def test_a_replayed_past_is_not_the_present(room: Room) -> None:
    room.turn()
    for seq, ago in enumerate((60.0, 45.0, 30.0, 15.0), 1):
        room.send(seq, 95.0, edge=False, at=NOW - ago)
        room.turn(1.0)
    assert room.values() == {}
    assert room.rows == {}
    assert [m.seq for m in room.acked] == [1, 2, 3, 4]
    room.send(5, 50.0)
    room.turn(1.0)
    assert room.values() == {"node_thing": 50.0}
    history = room.engine._head.select((), NOW - 100, NOW + 100)
    assert history is not None


def test_nan_is_absence_and_infinity_a_value(room: Room) -> None:
    room.send(1, math.inf)
    room.turn()
    assert room.values()["node_thing"] == math.inf
    room.clock.at += 1.0
    room.send(2, math.nan)
    room.turn()
    assert "node_thing" not in room.values()


def test_our_own_series_are_repeated_and_changed(wire: Wire, room: Room) -> None:
    states = {s: Labels.of(__name__="czuwak_host_presence", state=s) for s in ("online", "away")}
    shared = wire.identity.shared()
    room.engine.describe("a-1", shared, {states["online"]: 1.0, states["away"]: 0.0})
    room.turn()
    assert room.values() == {"czuwak_host_presenceonline": 1.0, "czuwak_host_presenceaway": 0.0}
    room.turn(301.0)
    assert room.values()["czuwak_host_presenceonline"] == 1.0
    room.engine.describe("a-1", shared, {states["online"]: 0.0, states["away"]: 1.0})
    room.engine.describe("a-1", shared, {named("czuwak_host_clock_offset_seconds"): -3.0})
    room.turn(1.0)
    assert room.values() == {
        "czuwak_host_presenceonline": 0.0,
        "czuwak_host_presenceaway": 1.0,
        "czuwak_host_clock_offset_seconds": -3.0,
    }
    room.engine.forget("a-1")
    room.turn(1.0)
    assert room.values() == {}


def test_a_reload_changes_what_is_kept(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.ingest.demand._ROOM", 0)
    room = Room(wire, by_demand=True)
    look = plan("count_over_time(node_thing[5m])")
    room.send(1, 1.0)
    room.turn(1.0)
    room.send(2, 1.0)
    room.turn(1.0)
    with pytest.raises(EvaluationError, match="only the newest values"):
        evaluate(look, room.engine._head.select, room.clock.at)
    room.engine.reload(load_text(HIGH.replace("node_thing > 90", "'rate(node_thing[5m]) > 90'"), "r.yml"))
    for seq in range(3, 31):
        room.turn(15.0)
        room.send(seq, 1.0)
    room.turn()
    assert evaluate(look, room.engine._head.select, room.clock.at).vector.values.tolist() == [20.0]


def test_windows_outlive_the_process(wire: Wire, tmp_path: Path) -> None:
    look = plan("count_over_time(node_thing[5m])")
    room = Room(wire, file=tmp_path / "head")
    room.send(1, 5.0)
    room.engine.start()
    room.engine.stop()
    again = Room(wire, file=tmp_path / "head")
    again.clock.at += 1.0
    again.engine.start()
    counted = again.engine.call(lambda head, _, at: evaluate(look, head.select, at).vector.values.tolist())
    assert counted.result(5.0) == [1.0]
    assert again.engine.call(lambda head, _, at: head.values_of("pc1", at)).result(5.0) == []
    again.engine.stop()


def test_without_rules_acks_come_with_the_tick(wire: Wire) -> None:
    room = Room(wire, rules="")
    room.send(1, 1.0)
    room.turn()
    assert [m.seq for m in room.acked] == [1]


def test_a_batch_that_fits_no_series_fails_alone(room: Room) -> None:
    wrong = Append(Mark(1, "e", 1, 1), NOW, room.columns, b"", b"1234567812345678", edge=True)
    room.engine.append("a-2", "pc2", 15.0, wrong, room.acked.extend)
    room.send(2, 1.0)
    room.turn()
    assert [m.seq for m in room.acked] == [2]
    assert room.values() == {"node_thing": 1.0}


def test_a_host_the_head_has_forgotten_is_taken_up_again(room: Room) -> None:
    room.send(1, 1.0)
    room.turn()
    room.engine.forget("a-1")
    room.send(2, 2.0)
    room.turn(1.0)
    assert [m.seq for m in room.acked] == [1, 2]
    assert room.values() == {"node_thing": 2.0}


def test_a_host_that_was_away_for_longer_than_the_retention_comes_back(room: Room) -> None:
    room.send(1, 1.0)
    room.turn()
    room.turn(4000.0)  # the marker that ends its series is a sample too
    room.turn(4000.0)
    room.turn(4000.0)  # a compaction that begins takes its minute
    assert room.values() == {}
    assert room.engine._head.stats.hosts == 0
    room.send(2, 2.0)
    room.turn(1.0)
    assert room.values() == {"node_thing": 2.0}


def test_alerts_of_rules_that_are_gone_end_after_a_reload_even_if_the_database_was_away(room: Room) -> None:
    room.send(1, 95.0)
    room.turn()
    room.turn(11.0)
    assert room.told == [EventKind.FIRED]
    room.down = True
    room.engine.reload(())
    room.turn(1.0)
    assert len(room.rows) == 1
    room.down = False
    room.turn(1.0)
    assert room.rows == {}
    assert room.told == [EventKind.FIRED, EventKind.GONE]


@pytest.fixture
def running(wire: Wire) -> Iterator[Engine]:
    room = Room(wire)
    room.engine._clock = time.time
    room.engine.start()
    yield room.engine
    room.engine.stop()
    assert not room.engine.is_alive()


def asked(engine: Engine, work: Callable[[], Any]) -> "Future[Any]":
    return engine.call(lambda _, __, ___: work())


def test_work_runs_in_the_engines_thread_and_its_error_is_the_callers(running: Engine) -> None:
    assert asked(running, threading.current_thread).result(5) is running
    with pytest.raises(ZeroDivisionError):
        asked(running, lambda: 1 / 0).result(5)
    assert asked(running, threading.current_thread).result(5) is running


def test_a_stopped_engine_says_so(wire: Wire) -> None:
    engine = Room(wire).engine
    engine.start()
    engine.stop()
    with pytest.raises(EngineStoppedError):
        asked(engine, threading.current_thread).result(5)
