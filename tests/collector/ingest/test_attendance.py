import time
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from collector.ingest.arrival import arrived
from collector.ingest.attendance import Attendance, Seen
from collector.ingest.stamp import Identity
from collector.labels import Labels
from collector.presence import Policy, Presence
from collector.store import hosts, presence, tables
from collector.store.errors import StoreError
from czuwak.v1 import ingest_pb2 as pb

House = Any  # the class in this folder's conftest.py


class Desk:
    """An attendance over a real database, its clock moved by the test."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.at = time.time()
        self.described: dict[str, dict[str, float]] = {}
        self.values: dict[tuple[str, str], float] = {}
        self.excused: list[tuple[str, str]] = []
        self.attendance = self.new()

    def new(self) -> Attendance:
        return Attendance(
            self.house.store,
            Policy(),
            self.describe,
            lambda: self.at,
            excuse=lambda host, reason, _: self.excused.append((host, reason)),
            database_clock=lambda _: self.at,
        )

    def describe(self, host: str, _: str, values: Mapping[Labels, float]) -> None:
        self.described.setdefault(host, {}).update(
            {labels.get("state"): value for labels, value in values.items() if labels.get("state")}
        )
        self.values |= {(host, labels.get("__name__")): value for labels, value in values.items()}

    def join(self, name: str, *, live: bool = True, class_: str = "server", site: str = "waw") -> Identity:
        identity = Identity(self.house.enroll(name)[0], name, name, "acme", site, class_)
        with self.house.store.write() as conn:
            conn.execute(
                sa.update(tables.host)
                .where(tables.host.c.id == identity.agent_id)
                .values({"class": class_, "site": site, "instance": name})
            )
        self.again(identity, live=live)
        return identity

    def again(
        self, identity: Identity, *, live: bool = True, boot: str = "b1", slept: float = 0.0, absence: str = ""
    ) -> int:
        """A session as the servicer opens it; `absence` is the reason of a clean record of boot `b1`."""
        wall = int(self.at * 1e9)
        hello = pb.Hello(boot_id=boot, wall_ns=wall, boottime_ns=int((slept + 100) * 1e9), monotonic_ns=100 * 10**9)
        if absence:
            reason = pb.GoingAwayReason.Value(f"GOING_AWAY_REASON_{absence.upper()}")
            hello.last_absence.CopyFrom(pb.Absence(reason=reason, clean=True, boot_id="b1", wall_ns=wall))
        with self.house.store.write() as conn:
            before = hosts.host(conn, identity.agent_id, None)
            assert before is not None
            gen = hosts.open_session(conn, before.id, at=self.at, facts={}, version="1", fingerprint="f")
            arrival = arrived(conn, before, gen, hello, self.at)
        self.attendance.welcomed(identity, gen, arrival, slept=slept)
        if live:
            self.attendance.live(identity.agent_id)
        return gen

    def settle(self) -> None:
        self.attendance.write(self.attendance.take())

    def look(self) -> tuple[str, ...]:
        """One second's work of the servicer."""
        judgement = self.attendance.judge(self.attendance.look(everybody=False))
        self.attendance.settle(self.attendance.claim(judgement.claims), judgement.claims)
        self.settle()
        return judgement.gone

    def wait(self, seconds: float, pace: float = 1.0) -> None:
        """So long, with a look each second."""
        until = self.at + seconds
        while self.at < until:
            self.at = min(until, self.at + pace)
            self.look()

    def value(self, identity: Identity, name: str) -> float | None:
        return self.values.get((identity.agent_id, name))

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


def test_a_silent_host_is_down_after_its_deadline_and_the_row_with_it(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.attendance.ended(identity.agent_id, 1)
    desk.wait(89)
    assert desk.state(identity) == "online"
    desk.wait(2)
    assert desk.state(identity) == desk.house.host(identity.agent_id).presence == "away_unexplained"
    assert desk.house.host(identity.agent_id).deadline is None
    assert desk.value(identity, "czuwak_host_overdue") == 0.0


def test_a_deadline_that_moved_meanwhile_is_not_judged(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.attendance.ended(identity.agent_id, 1)
    desk.settle()
    desk.again(identity)
    desk.at += 20.0
    desk.wait(100, 20.0)
    assert desk.state(identity) == "online"


def test_a_conclusion_is_drawn_by_one_collector_alone(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.attendance.ended(identity.agent_id, 1)
    desk.wait(80, 20.0)
    desk.at += 11.0
    judgement = desk.attendance.judge(desk.attendance.look(everybody=False))
    assert desk.attendance.claim(judgement.claims).keys() == {identity.agent_id}
    assert desk.attendance.claim(judgement.claims) == {}


def test_a_host_that_returns_while_it_is_judged_is_not_down(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.attendance.ended(identity.agent_id, 1)
    desk.wait(80, 20.0)
    desk.at += 11.0
    judgement = desk.attendance.judge(desk.attendance.look(everybody=False))
    won = desk.attendance.claim(judgement.claims)
    desk.again(identity)
    desk.attendance.settle(won, judgement.claims)
    desk.settle()
    assert desk.state(identity) == desk.house.host(identity.agent_id).presence == "online"


def test_a_goodbye_that_comes_while_it_is_judged_counts(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.attendance.ended(identity.agent_id, 1)
    desk.wait(80, 20.0)
    desk.at += 11.0
    judgement = desk.attendance.judge(desk.attendance.look(everybody=False))
    won = desk.attendance.claim(judgement.claims)
    desk.attendance.goodbye(identity.agent_id, "shutdown", 0.0)
    desk.attendance.settle(won, judgement.claims)
    desk.settle()
    assert desk.state(identity) == desk.house.host(identity.agent_id).presence == "away_planned"


def test_an_older_streams_end_says_nothing(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.again(identity)
    desk.attendance.ended(identity.agent_id, 1)
    desk.wait(100, 20.0)
    assert desk.state(identity) == "online"


def test_our_own_blindness_makes_nobody_down(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    gone, here = desk.join("gone"), desk.join("here")
    desk.attendance.ended(gone.agent_id, 1)
    desk.settle()
    for _ in range(3):
        desk.attendance.trouble(StoreError("the database cannot be used now", retryable=True))
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1
    desk.at += 1000.0
    desk.look()
    assert (desk.state(gone), desk.state(here)) == ("unknown", "online")
    assert desk.values["\0collector", "czuwak_collector_blind_seconds"] == 1000.0
    desk.wait(149, 20.0)
    assert desk.state(gone) == "unknown"
    desk.wait(2)
    assert (desk.state(gone), desk.state(here)) == ("away_unexplained", "online")
    desk.wait(3700, 29.0)
    assert desk.values["\0collector", "czuwak_collector_blind_seconds"] == 0.0


def test_a_collector_that_was_frozen_judges_nobody_by_that_time(desk: Desk) -> None:
    gone = desk.join("gone")
    desk.attendance.ended(gone.agent_id, 1)
    desk.look()
    desk.at += 120.0
    desk.look()
    assert desk.state(gone) == "unknown"
    assert desk.values["\0collector", "czuwak_collector_blind_seconds"] == 0.0


@pytest.mark.parametrize("jump", [7200.0, -7200.0])
def test_a_step_of_the_databases_clock_leaves_everybody_the_time_that_was_left(desk: Desk, jump: float) -> None:
    gone = desk.join("gone")
    desk.attendance.ended(gone.agent_id, 1)
    steady = {"at": desk.at}
    attendance = desk.attendance
    attendance._now._steady = lambda: steady["at"]

    def wait(seconds: int) -> None:
        for _ in range(seconds):
            desk.at += 1.0
            steady["at"] += 1.0
            desk.look()

    wait(60)
    desk.at += jump
    wait(28)
    assert desk.state(gone) == "online"
    wait(4)
    assert desk.state(gone) == "away_unexplained"


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


def test_a_lost_goodbye_is_explained_at_the_return_and_its_ticket_excused(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.settle()
    desk.attendance.ended(identity.agent_id, 1)
    desk.wait(92)
    assert desk.state(identity) == "away_unexplained"
    desk.again(identity, absence="shutdown", boot="b2")
    desk.settle()
    assert "absence_explained" in desk.kinds(identity)
    assert "crashed" not in desk.kinds(identity)
    assert set(desk.excused) == {(identity.agent_id, "shutdown")}
    desk.wait(20)
    told = len(desk.excused)
    assert told > 1  # a ticket may be on its way
    desk.wait(20)
    assert len(desk.excused) == told


def test_a_server_that_does_not_return_from_its_reboot_is_overdue(desk: Desk) -> None:
    identity = desk.join("srv1")
    desk.attendance.goodbye(identity.agent_id, "reboot", 0.0)
    desk.wait(1802, 25.0)
    assert desk.state(identity) == "away_unexplained"
    assert desk.value(identity, "czuwak_host_overdue") == 1.0
    desk.again(identity, absence="reboot", boot="b2")
    assert desk.value(identity, "czuwak_host_overdue") == 0.0


def test_a_crash_is_told_to_the_rules_for_a_day(desk: Desk) -> None:
    identity = desk.join("srv1")
    desk.wait(10)
    desk.again(identity, boot="b2")
    desk.look()
    assert "crashed" in desk.kinds(identity)
    assert desk.value(identity, "czuwak_host_unexpected_reboots") == 0.0
    desk.wait(6)
    assert desk.value(identity, "czuwak_host_unexpected_reboots") == 1.0
    again = Desk(desk.house)
    again.at = desk.at + 60.0
    again.attendance = again.new()
    again.attendance.load()
    assert again.value(identity, "czuwak_host_unexpected_reboots") == 1.0


def test_a_crash_that_its_silence_has_told_is_not_told_again(desk: Desk) -> None:
    identity = desk.join("srv1")
    desk.attendance.ended(identity.agent_id, 1)
    desk.wait(92)
    desk.again(identity, boot="b2")
    desk.wait(10)
    assert desk.value(identity, "czuwak_host_unexpected_reboots") == 0.0


def test_sleep_is_told_with_its_length_whether_the_stream_survived_it_or_not(desk: Desk) -> None:
    identity = desk.join("lap1", class_="laptop")
    desk.attendance.beat(identity.agent_id, 0.5)
    desk.attendance.beat(identity.agent_id, 600.0)
    desk.attendance.beat(identity.agent_id, 600.2)
    desk.settle()
    assert desk.kinds(identity).count("slept") == 1
    assert desk.house.host(identity.agent_id).suspended == 600.0
    desk.again(identity, slept=4200.0)
    desk.again(identity, slept=4200.0)
    with desk.house.store.read() as conn:
        slept = [e.detail["seconds"] for e in hosts.host_events(conn, identity.agent_id) if e.kind == "slept"]
    assert slept == [3600.0, 600.0]


def test_working_days_away_are_told_once_it_is_calm_and_end_at_the_return(desk: Desk) -> None:
    identity, server = desk.join("pc1", class_="workstation"), desk.join("srv1")
    for each in (identity, server):
        desk.attendance.goodbye(each.agent_id, "shutdown", 0.0)
    desk.settle()
    desk.at += 21 * 86_400.0
    again = Desk(desk.house)
    again.at = desk.at
    again.attendance = again.new()
    again.attendance.load()
    again.look()
    assert again.value(identity, "czuwak_host_away_working_days") is None
    again.wait(1100, 25.0)
    assert again.value(identity, "czuwak_host_away_working_days") in (14.0, 15.0)
    assert again.value(server, "czuwak_host_away_working_days") is None
    again.again(identity)
    assert again.value(identity, "czuwak_host_away_working_days") == 0.0


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


def test_a_pause_said_while_we_were_away_is_a_silence_after_the_grace_and_explained_at_the_return(desk: Desk) -> None:
    identity = desk.join("srv1")
    desk.settle()
    again = Desk(desk.house)  # we died; the pause was said 10 s before this start, when nobody listened
    again.at = desk.at + 90.0
    again.attendance.load()
    again.wait(149)
    assert again.state(identity) == "unknown"
    again.wait(2)
    assert again.state(identity) == "away_unexplained"
    again.wait(60)
    again.again(identity, absence="user_pause")
    again.settle()
    assert again.state(identity) == "online"
    assert set(again.excused) == {(identity.agent_id, "user_pause")}
    assert "absence_explained" in again.kinds(identity)
    assert "crashed" not in again.kinds(identity)


def test_a_pause_that_was_heard_after_our_start_has_no_deadline(desk: Desk) -> None:
    identity = desk.join("srv1")
    desk.settle()
    again = Desk(desk.house)
    again.attendance.load()
    gen = again.again(identity)
    again.attendance.goodbye(identity.agent_id, "user_pause", 0.0)
    again.attendance.ended(identity.agent_id, gen)
    again.wait(300)
    assert again.state(identity) == "away_planned"
    again.again(identity, absence="user_pause")
    again.settle()
    assert again.excused == []


def test_a_pause_is_heard_over_our_next_start(desk: Desk) -> None:
    identity = desk.join("srv1")
    desk.attendance.goodbye(identity.agent_id, "user_pause", 0.0)
    desk.settle()
    again = Desk(desk.house)
    again.attendance.load()
    again.wait(300)
    assert again.state(identity) == "away_planned"


@pytest.mark.parametrize(("step", "left"), [(3600.0, 150.0), (-3600.0, 5400.0)])
def test_a_step_of_the_clock_while_we_were_away_is_time_that_passed_and_has_the_grace(
    desk: Desk, step: float, left: float
) -> None:
    identity = desk.join("srv1")
    desk.attendance.goodbye(identity.agent_id, "reboot", 0.0)
    desk.settle()
    again = Desk(desk.house)
    again.at = desk.at + step
    again.attendance.load()
    assert again.house.host(identity.agent_id).deadline == pytest.approx(again.at + left)
    again.wait(left - 1.0, 25.0)
    assert again.state(identity) == "away_planned"
    again.wait(2)
    assert again.state(identity) == "away_unexplained"
    again.again(identity, absence="reboot", boot="b2")
    again.settle()
    assert set(again.excused) == {(identity.agent_id, "reboot")}


def test_our_own_long_absence_is_told_to_the_rules(desk: Desk) -> None:
    desk.join("pc1")
    desk.settle()
    for later, told in ((200.0, 0.0), (4000.0, 4000.0)):
        again = Desk(desk.house)
        again.at = desk.at + later
        again.attendance = again.new()
        again.attendance.load()
        assert again.values["\0collector", "czuwak_collector_blind_seconds"] == pytest.approx(told, abs=1)


OUTAGE = "czuwak_outage_hosts"


def test_a_site_that_falls_silent_together_is_one_outage_and_who_stays_away_is_told_alone(desk: Desk) -> None:
    site = [desk.join(f"srv{n}", site="krk") for n in range(8)]
    desk.join("elsewhere")
    laptop = desk.join("lap1", site="krk", class_="laptop")
    desk.settle()
    for identity in site[:6]:
        desk.attendance.ended(identity.agent_id, 1)
    gone = [*site[:6], laptop]
    for _ in range(92):
        desk.at += 1.0
        for identity in (*site[6:],):
            desk.attendance.live(identity.agent_id)
        desk.look()
    assert {desk.state(each) for each in gone} == {"unknown"}
    assert {desk.state(each) for each in site[6:]} == {"online"}
    assert desk.values["\0outage/acme/krk", OUTAGE] == 7.0
    assert "outage" in desk.kinds(site[0])
    with desk.house.store.read() as conn:
        listed = presence.struck(conn, None, desk.at - 300, desk.at, company="acme", site="krk")
    assert [each.name for each in listed] == sorted(each.host for each in gone)
    again = Desk(desk.house)
    again.at = desk.at + 30.0
    again.attendance = again.new()
    again.attendance.load()
    assert again.state(site[0]) == "unknown"
    assert again.values["\0outage/acme/krk", OUTAGE] == 7.0
    for identity in gone[1:]:
        desk.again(identity)
    desk.wait(20)
    assert desk.values["\0outage/acme/krk", OUTAGE] == 0.0
    assert desk.state(site[0]) == "unknown"
    for _ in range(91):
        for identity in gone[1:]:
            desk.attendance.live(identity.agent_id)
        desk.wait(1)
    assert desk.state(site[0]) == "away_unexplained"


def test_laptops_that_are_closed_at_five_are_no_outage(desk: Desk) -> None:
    room = [desk.join(f"lap{n}", class_="laptop") for n in range(7)]
    room += [desk.join(f"pc{n}", class_="workstation") for n in range(7)]
    for identity in room:
        desk.attendance.ended(identity.agent_id, 1)
    desk.wait(92)
    assert {desk.state(each) for each in room} == {"away_unexplained"}
    assert not [key for key in desk.values if key[1] == OUTAGE]


def test_servers_that_said_goodbye_are_no_part_of_an_outage(desk: Desk) -> None:
    site = [desk.join(f"srv{n}") for n in range(8)]
    for identity in site[:5]:
        desk.attendance.goodbye(identity.agent_id, "shutdown", 0.0)
    for identity in site[5:]:
        desk.attendance.ended(identity.agent_id, 1)
    desk.wait(92)
    assert [desk.state(each) for each in site] == ["away_planned"] * 5 + ["away_unexplained"] * 3


def test_a_retired_host_is_forgotten_once_its_stream_is_cut(desk: Desk) -> None:
    identity = desk.join("pc1")
    seen = Seen(desk.at, frozenset(), (), {})
    assert desk.attendance.judge(seen).gone == ()
    desk.attendance.ended(identity.agent_id, 1)
    assert desk.attendance.judge(seen).gone == (identity.agent_id,)


def test_the_clock_offset_is_described(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.attendance.offset(identity.agent_id, -400.0)
    assert desk.value(identity, "czuwak_host_clock_offset_seconds") == -400.0


def test_a_line_of_a_session_that_was_fenced_is_not_written(desk: Desk) -> None:
    identity = desk.join("pc1")
    desk.settle()
    before = desk.kinds(identity)
    desk.attendance.note(identity.agent_id, "slept", {"seconds": 60.0})
    with desk.house.store.write() as conn:
        hosts.open_session(conn, identity.agent_id, at=desk.at, facts={}, version="1", fingerprint="f")
    desk.settle()
    assert desk.kinds(identity) == before
