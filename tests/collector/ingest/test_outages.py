from collector.store import presence
from tests.collector.ingest.desk import Desk

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
