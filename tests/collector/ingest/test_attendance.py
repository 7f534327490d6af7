from collector.ingest.attendance import Seen
from collector.presence import Presence
from collector.store import hosts
from tests.collector.ingest.desk import Desk


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
