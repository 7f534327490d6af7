"""Invariants of several collectors on one database, whatever happens to them in whatever order."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collector.alerts.alert import AlertChanges
from collector.intake import Intake, Judged
from collector.labels import Labels
from collector.store import Store, hosts
from collector.store import tables as t
from collector.store.errors import StoreError
from collector.store.fencing import Holding
from tests.collector.town import RULES, Site, Town

HOSTS = ("pc1", "pc2")
NAMES = ("one", "two", "three")
QUICK = RULES.replace("for: 10s", "for: 4s")

# (what, collector, host, over the threshold)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            (
                "connect",
                "reopen",
                "sample",
                "sample",
                "unheard",
                "run",
                "stray",
                "stray",
                "look",
                "freeze",
                "leave",
                "restart",
            )
        ),
        st.integers(0, 2),
        st.sampled_from(HOSTS),
        st.booleans(),
    ),
    min_size=8,
    max_size=25,
)
CHECKED = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


class World:
    """Three collectors and two hosts; every step is followed by `after`."""

    def __init__(self, store: Store) -> None:
        self.town = Town(store)
        self.at = 1000.0
        self.left: set[int] = set()  # who has told its end looks no more
        self.sites = [self.town.site(name, QUICK) for name in NAMES]
        for host in HOSTS:  # both begin at the first one, about to fire
            self.do("connect", 0, host, high=False)
            self.do("sample", 0, host, high=True)

    def do(self, what: str, number: int, host: str, high: bool) -> None:  # noqa: C901, PLR0912 - one case for each step
        self.at += 4.0
        site = self.sites[number]
        match what:
            case "connect":
                site.connect(host, self.at)
            case "reopen":  # the agent is back; what that means has not reached the engine yet
                self.town.reopen(host)
            case "sample":  # at the collector that holds it
                holder = self.holder(host)
                if holder is not None:
                    holder.run(self.at, 95.0 if high else 1.0, instance=host)
            case "unheard":  # it commits, and the answer is lost: the same is told again
                holder = self.holder(host)
                if holder is not None:
                    self.unheard(holder, host, high=high)
            case "stray":  # what a stream that was cut still had under way
                site.run(self.at, 95.0 if high else 1.0, instance=host)
            case "run":
                site.run(self.at)
            case "look":
                if number not in self.left:
                    site.look(self.at)
            case "leave":  # its hosts are free, what it still does is too late
                site.custody.leave()
                self.left.add(number)
            case "freeze":
                self.town.silence(site)
            case "restart":
                self.sites[number] = self.town.site(NAMES[number], QUICK, at=self.at)
                self.left.discard(number)

    def unheard(self, site: Site, host: str, *, high: bool) -> None:
        commit, intake = site.commit, Intake(self.town.store)

        def lost(changes: AlertChanges, at: float, holding: Holding) -> Judged:
            intake.judged(changes, at, holding)
            raise StoreError("the connection was lost")

        site.commit = site.custody.commit(lost)
        with suppress(StoreError):
            site.run(self.at, 95.0 if high else 1.0, instance=host)
        site.commit = commit

    def holder(self, host: str) -> Site | None:
        holder, _ = self.rights(host)
        return next((site for site in self.sites if site.custody.collector == holder), None)

    def rights(self, host: str) -> tuple[str | None, int]:
        """The host's holder and generation."""
        with self.town.store.read() as conn:
            gen, holder = hosts.fence(conn, [host])[host]
        return holder, gen

    def query(self, query: sa.Select[Any]) -> list[Any]:
        with self.town.store.read() as conn:
            return list(conn.execute(query))

    def rows_of(self, host: str) -> list[Any]:
        """All that was ever written of one host's alerts and tickets."""
        tables = (t.alert, t.ticket)
        rows = [row for table in tables for row in self.query(sa.select(table).where(table.c.instance == host))]
        events = sa.select(t.ticket_event).join(t.ticket, t.ticket.c.id == t.ticket_event.c.ticket_id)
        return [*rows, *self.query(events.where(t.ticket.c.instance == host).order_by(t.ticket_event.c.id))]


def check_one_open_ticket(world: World) -> None:
    tickets = world.query(sa.select(t.ticket.c.dedup_key, t.ticket.c.episode, t.ticket.c.closed_at))
    still = Counter(row.dedup_key for row in tickets if row.closed_at is None)
    episodes = Counter((row.dedup_key, row.episode) for row in tickets)
    assert all(count == 1 for count in still.values())
    assert all(count == 1 for count in episodes.values())


def check_events(world: World) -> None:
    """Episode n of a key was told to begin once; all before it, and it too without an alert, were told to end once."""
    told = Counter(world.query(sa.select(t.ticket_event.c.source_event_key)))
    kinds = {key[0]: count for key, count in told.items() if key[0]}
    assert all(count == 1 for count in kinds.values())
    firing = {row.key: row.episode for row in world.query(sa.select(t.alert).where(t.alert.c.state == "firing"))}
    assert all(f"{key}/{number}/fired" in kinds for key, number in firing.items())
    for row in world.query(sa.select(t.episode)):
        for number in range(1, row.number + 1):
            name = f"{row.dedup_key}/{number}"
            assert f"{name}/fired" in kinds
            over = f"{name}/recovered" in kinds or f"{name}/gone" in kinds
            assert over == (firing.get(row.dedup_key) != number)


def explore(steps: list[tuple[str, int, str, bool]], store: Store, after: Callable[[World], None]) -> None:
    world = World(store)
    for step in steps:
        world.do(*step)
        after(world)


@CHECKED
@given(steps=STEPS)
@example(steps=[("unheard", 0, "pc1", True), ("sample", 0, "pc1", True), ("sample", 0, "pc1", True)])
def test_i3_one_open_ticket_per_key_and_episode(
    sqlite_store: Callable[[], Store], steps: list[tuple[str, int, str, bool]]
) -> None:
    explore(steps, sqlite_store(), check_one_open_ticket)


@CHECKED
@given(steps=STEPS)
@example(
    steps=[
        ("connect", 0, "pc1", False),
        ("unheard", 0, "pc1", False),  # pc2 fires there, and nobody hears it
        ("sample", 0, "pc2", False),
        ("run", 0, "pc2", False),
    ]
)
def test_i8_every_committed_transition_has_its_event_once(
    sqlite_store: Callable[[], Store], steps: list[tuple[str, int, str, bool]]
) -> None:
    explore(steps, sqlite_store(), check_events)


@CHECKED
@given(steps=STEPS)
@example(
    steps=[
        ("leave", 0, "pc1", False),
        ("freeze", 1, "pc1", False),
        ("freeze", 2, "pc1", False),
        ("restart", 1, "pc1", False),  # takes the lead and both hosts, at the generation they had
        ("stray", 0, "pc1", True),
        ("stray", 0, "pc2", False),
    ]
)
@example(steps=[("reopen", 0, "pc1", True), ("stray", 0, "pc1", True), ("stray", 0, "pc1", False)])
def test_i10_a_fenced_collector_changes_no_row(
    sqlite_store: Callable[[], Store], steps: list[tuple[str, int, str, bool]]
) -> None:
    world = World(sqlite_store())
    for what, number, host, high in steps:
        site = world.sites[number]
        fenced = [h for h in HOSTS if world.rights(h) != (site.custody.collector, site.custody._gens.get(h))]
        before = {h: world.rows_of(h) for h in fenced}
        world.do(what, number, host, high)
        if what in {"stray", "run"}:
            assert {h: world.rows_of(h) for h in fenced} == before


@pytest.mark.parametrize("seed", range(3))
def test_the_same_holds_on_both_databases(store: Store, seed: int) -> None:
    """A fixed walk for each seed, checked by all three."""
    world = World(store)
    whats = ("connect", "sample", "sample", "unheard", "run", "stray", "look", "freeze", "leave", "restart")
    for number in range(40):
        place = number * 7 + seed * 13
        world.do(whats[place % len(whats)], (place // 3) % 3, HOSTS[(place // 5) % 2], (place // 4) % 3 > 0)
        check_one_open_ticket(world)
        check_events(world)


def test_labels_without_a_host_are_the_leads(store: Store) -> None:
    world = World(store)
    owners = [site.custody.owns(Labels.of(alertname="Many")) for site in world.sites]
    assert owners == [True, False, False]
