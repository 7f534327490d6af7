from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from collector.ingest.stamp import Identity
from collector.labels import Labels
from collector.store import hosts, presence, tables
from tests.collector.ingest.desk import Desk

House = Any  # the class in this folder's conftest.py

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


class Pair:
    """Two collectors on one database, and the servers of one site with both."""

    def __init__(self, house: House, first: int, second: int) -> None:
        self.desks: tuple[Desk, ...] = (Desk(house, "c1"), Desk(house, "c2"))
        self.desks[1].at = self.desks[0].at
        self.hosts = [
            [desk.join(f"{desk.collector}-{n}", site="krk") for n in range(count)]
            for desk, count in zip(self.desks, (first, second), strict=True)
        ]
        for desk in self.desks:
            desk.settle()

    def wait(self, seconds: int, here: Sequence[Identity] = ()) -> None:
        """So long; `here` are heard all the time."""
        for _ in range(seconds):
            for desk, mine in zip(self.desks, self.hosts, strict=True):
                desk.at += 1.0
                for identity in mine:
                    if identity in here:
                        desk.attendance.live(identity.agent_id)
            for desk in self.desks:
                desk.look()

    def away(self, *identities: Identity) -> None:
        for desk, mine in zip(self.desks, self.hosts, strict=True):
            for identity in mine:
                if identity in identities:
                    desk.attendance.ended(identity.agent_id, 1)
                    desk.settle()

    def states(self) -> list[list[str]]:
        return [[desk.state(identity) for identity in mine] for desk, mine in zip(self.desks, self.hosts, strict=True)]

    def told(self) -> list[float | None]:
        return [desk.values.get(("\0outage/acme/krk", OUTAGE)) for desk in self.desks]


def test_a_site_spread_over_two_collectors_has_one_outage(house: House) -> None:
    """Neither has more than five of its hosts; the number is one series, which whoever has the lead judges."""
    pair = Pair(house, 4, 4)
    gone, here = [*pair.hosts[0], *pair.hosts[1][:3]], pair.hosts[1][3:]
    pair.away(*gone)
    pair.wait(155, here)  # a number that grows is told once a minute
    assert pair.states() == [["unknown"] * 4, ["unknown"] * 3 + ["online"]]
    assert pair.told() == [7.0, 7.0]
    site = Labels.of(company="acme", site="krk", scope="site", __name__=OUTAGE)
    assert [desk.labels[OUTAGE] for desk in pair.desks] == [site, site]
    with house.store.read() as conn:
        listed = presence.struck(conn, None, pair.desks[0].at - 300, pair.desks[0].at, company="acme", site="krk")
    assert [each.name for each in listed] == sorted(each.host for each in gone)


def test_when_it_is_over_it_is_over_for_both_and_who_stays_away_is_told_alone(house: House) -> None:
    pair = Pair(house, 4, 4)
    everybody = [*pair.hosts[0], *pair.hosts[1]]
    pair.away(*everybody)
    pair.wait(155)
    assert pair.told() == [8.0, 8.0]
    for identity in pair.hosts[0]:
        pair.desks[0].again(identity)
    pair.wait(20, pair.hosts[0])
    assert pair.told() == [0.0, 0.0]
    assert pair.states() == [["online"] * 4, ["unknown"] * 4]
    pair.wait(95, pair.hosts[0])
    assert pair.told() == [0.0, 0.0]
    assert pair.states() == [["online"] * 4, ["away_unexplained"] * 4]


def test_a_collector_that_has_no_host_of_the_site_and_one_that_starts_tell_the_number_too(house: House) -> None:
    pair = Pair(house, 7, 0)
    pair.away(*pair.hosts[0])
    pair.wait(95)
    assert pair.told() == [7.0, 7.0]
    third = Desk(house, "c3", pair.desks[0].at)
    third.attendance.load()
    assert third.values["\0outage/acme/krk", OUTAGE] == 7.0


def test_hosts_whose_collector_died_are_no_part_of_an_outage_until_the_grace_is_over(house: House) -> None:
    pair = Pair(house, 8, 4)
    (_, survivor), (orphans, (alone, *here)) = pair.desks, pair.hosts
    pair.away(alone)
    pair.desks, pair.hosts = (survivor,), [[alone, *here]]
    pair.wait(18, here)
    with house.store.write() as conn:
        c = tables.host.c
        conn.execute(
            sa.update(tables.host)
            .where(c.collector_id == "c1")
            .values(collector_id="c2", session_gen=c.session_gen + 1)
        )
        rows = {row.id: row for row in hosts.active_identities(conn)}
    survivor.attendance.took([rows[identity.agent_id] for identity in orphans])
    pair.wait(80, here)
    assert survivor.state(alone) == "away_unexplained"
    assert {survivor.state(identity) for identity in orphans} == {"unknown"}
    assert OUTAGE not in survivor.labels
