import time
from collections.abc import Mapping
from typing import Any

import pytest

from collector.ingest.attendance import Attendance, Seen
from collector.ingest.stamp import Identity
from collector.labels import Labels
from collector.presence import Policy, Presence
from collector.store import hosts
from collector.store.errors import StoreError

House = Any  # the class in this folder's conftest.py


class Desk:
    """An attendance over a real database, its clock moved by the test."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.at = time.time()
        self.described: dict[str, dict[str, float]] = {}
        self.attendance = Attendance(house.store, Policy(), self.describe, lambda: self.at)

    def describe(self, host: str, _: str, values: Mapping[Labels, float]) -> None:
        self.described.setdefault(host, {}).update({labels.get("state"): value for labels, value in values.items()})

    def join(self, name: str, *, live: bool = True, absence: str = "", clean: bool = False) -> Identity:
        identity = Identity(self.house.enroll(name)[0], name, name, "acme", "waw", "server")
        self.again(identity, live=live, absence=absence, clean=clean)
        return identity

    def again(self, identity: Identity, *, live: bool = True, absence: str = "", clean: bool = False) -> int:
        with self.house.store.write() as conn:
            gen = hosts.open_session(conn, identity.agent_id, at=self.at, facts={}, version="1", fingerprint="f")
        self.attendance.welcomed(identity, gen, absence, clean)
        if live:
            self.attendance.live(identity.agent_id)
        return gen

    def settle(self) -> None:
        self.attendance.write(self.attendance.take())

    def look(self, *overdue: str) -> tuple[str, ...]:
        return self.attendance.judge(Seen(self.at, frozenset(), overdue, None))

    def state(self, identity: Identity) -> str:
        (now,) = (state for state, value in self.described[identity.agent_id].items() if value == 1.0)
        return now

    def kinds(self, identity: Identity) -> list[str]:
        with self.house.store.read() as conn:
            return [event.kind for event in reversed(hosts.host_events(conn, identity.agent_id))]


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house)


def test_exactly_one_state_is_one_and_the_row_says_the_same(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.settle()
    assert desk.state(identity) == desk.house.host(identity.agent_id).presence == "online"
    assert set(desk.described[identity.agent_id]) == {state.value for state in Presence}
    assert sum(desk.attendance.counts().values()) == 1


def test_a_deadline_that_moved_meanwhile_is_not_judged(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.attendance.ended(identity.agent_id, 1)
    desk.again(identity)
    desk.at += 100.0
    desk.look(identity.agent_id)
    assert desk.state(identity) == "online"


def test_an_older_streams_end_says_nothing(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.again(identity)
    desk.attendance.ended(identity.agent_id, 1)
    desk.at += 100.0
    desk.look(identity.agent_id)
    assert desk.state(identity) == "online"


def test_our_own_blindness_makes_nobody_down(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    gone, here = desk.join("gone"), desk.join("here")
    desk.attendance.ended(gone.agent_id, 1)
    for _ in range(3):
        desk.attendance.trouble(StoreError("the database cannot be used now", retryable=True))
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1
    desk.at += 1000.0
    desk.look(gone.agent_id)
    assert (desk.state(gone), desk.state(here)) == ("unknown", "online")
    desk.at += 151.0
    desk.look(gone.agent_id)
    assert (desk.state(gone), desk.state(here)) == ("away_unexplained", "online")


def test_what_could_not_be_written_is_written_later_and_never_over_something_newer(desk: Desk) -> None:
    identity = desk.join("pc1")
    due = desk.attendance.take()
    desk.attendance.goodbye(identity.agent_id, "reboot", 0.0)
    desk.attendance.keep(due)
    desk.settle()
    host = desk.house.host(identity.agent_id)
    assert (host.presence, host.presence_reason) == ("away_planned", "reboot")
    assert sorted(desk.kinds(identity)) == ["enrolled", "presence", "presence"]


def test_a_row_of_a_newer_session_is_left_alone(desk: Desk) -> None:
    identity = desk.join("pc1")
    with desk.house.store.write() as conn:
        hosts.open_session(conn, identity.agent_id, at=desk.at, facts={}, version="1", fingerprint="f")
    desk.settle()
    assert desk.house.host(identity.agent_id).presence == "never_seen"


def test_a_lost_goodbye_is_explained_at_the_return(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.attendance.ended(identity.agent_id, 1)
    desk.at += 91.0
    desk.look(identity.agent_id)
    assert desk.state(identity) == "away_unexplained"
    desk.again(identity, absence="reboot", clean=True)
    desk.settle()
    assert "absence_explained" in desk.kinds(identity)


def test_a_restart_forgets_planned_absences_not_and_makes_the_rest_unknown(desk: Desk) -> None:
    away, here = desk.join("away"), desk.join("here")
    desk.attendance.goodbye(away.agent_id, "shutdown", 0.0)
    desk.settle()
    never = desk.house.enroll("never")[0]
    again = Desk(desk.house)
    again.attendance.load()
    assert (again.state(away), again.state(here)) == ("away_planned", "unknown")
    assert again.house.host(here.agent_id).deadline == pytest.approx(again.at + 150.0)
    assert again.house.host(never).deadline is None


def test_a_retired_host_is_forgotten_once_its_stream_is_cut(desk: Desk) -> None:
    identity = desk.join("pc1")
    seen = Seen(desk.at, frozenset(), (), {})
    assert desk.attendance.judge(seen) == ()
    desk.attendance.ended(identity.agent_id, 1)
    assert desk.attendance.judge(seen) == (identity.agent_id,)


def test_the_clock_offset_is_described(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.attendance.offset(identity.agent_id, -400.0)
    assert desk.described[identity.agent_id][""] == -400.0
