import pytest

from collector.ingest.member import Claim
from collector.ingest.stamp import Identity
from collector.presence.states import DeadlinePassed
from collector.store.errors import StoreError
from tests.collector.ingest.desk import Desk


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


def test_while_a_fleet_comes_back_nobody_is_missing(desk: Desk) -> None:
    slow = [desk.join(f"srv{number}") for number in range(25)]
    lost, due = desk.join("lost"), desk.join("due")
    desk.attendance.goodbye(due.agent_id, "reboot", 20.0)
    desk.settle()
    again = Desk(desk.house)
    again.attendance.load()

    def wait(seconds: float) -> None:
        until = again.at + seconds
        while again.at < until:
            again.wait(1.0)
            for identity in back:
                again.attendance.live(identity.agent_id)

    back: list[Identity] = []
    for identity in slow:
        wait(9.0)
        assert {again.state(identity), again.state(lost), again.state(due)} == {"unknown", "away_planned"}
        again.again(identity)
        back.append(identity)
    wait(98.0)
    assert (again.state(lost), again.state(due)) == ("unknown", "away_planned")
    wait(4.0)
    assert (again.state(lost), again.state(due)) == ("away_unexplained", "away_unexplained")
    assert {again.state(identity) for identity in slow} == {"online"}


def test_who_had_said_good_night_is_no_fleet_that_comes_back(desk: Desk) -> None:
    asleep = [desk.join(f"pc{number}", class_="workstation") for number in range(20)]
    for identity in asleep:
        desk.attendance.goodbye(identity.agent_id, "shutdown", 0.0)
    lost = desk.join("lost")
    desk.settle()
    again = Desk(desk.house)
    again.attendance.load()
    for identity in asleep[:18]:
        again.wait(8.0)
        again.again(identity)
    assert again.state(lost) == "unknown"
    again.wait(8.0)
    assert again.state(lost) == "away_unexplained"


def test_whoever_was_judged_is_waited_for_no_more(desk: Desk) -> None:
    judged, other = desk.join("judged"), desk.join("other")
    desk.settle()
    again = Desk(desk.house)
    again.attendance.load()
    members = again.attendance._members
    assert members[judged.agent_id].excused
    claim = Claim(DeadlinePassed(), ((judged.agent_id, 1, members[judged.agent_id].standing),))
    again.attendance.settle(again.attendance.claim((claim,)), (claim,))
    assert (members[judged.agent_id].excused, members[other.agent_id].excused) == (False, True)


def test_a_welcome_alone_is_no_return(desk: Desk) -> None:
    slow = [desk.join(f"srv{number}") for number in range(25)]
    cut = desk.join("cut")
    desk.settle()
    again = Desk(desk.house)
    again.attendance.load()
    again.wait(5.0)
    gen = again.again(cut, live=False)
    again.attendance.ended(cut.agent_id, gen)
    for number, identity in enumerate(slow):
        again.wait(8.0)
        again.again(identity)
        for back in slow[:number]:
            again.attendance.live(back.agent_id)
        assert again.state(cut) != "away_unexplained"


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
