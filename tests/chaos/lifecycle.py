"""Computers that come, sleep, crash and go on a virtual clock, over the real presence, rules, intake and SQLite."""

import random
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from collector.head import Head
from collector.ingest.arrival import arrived
from collector.ingest.attendance import Attendance
from collector.ingest.own import OwnSeries
from collector.ingest.stamp import Identity
from collector.intake import Intake
from collector.presence import Policy
from collector.rules.load import load_files
from collector.rules.schedule import Schedule
from collector.store import Store, hosts, open_store, upgrade
from collector.store import tables as t
from collector.store.alerts import load_alerts
from collector.store.tickets import select_tickets, ticket_of
from czuwak.v1 import ingest_pb2 as pb

RULES = Path(__file__).parents[2] / "collector/rules/defaults/presence.yml"
START = 1_800_000_000.0
TICK = 10.0
ROUND = 15.0
HORIZON = 5400.0
CLASSES = ("server", "workstation", "laptop")

# What a life does: (class, what) -> (tickets ever, tickets open at the end); the rest of the table is quiet.
LOUD: Mapping[tuple[str, str], tuple[int, int]] = {
    ("server", "crash short"): (1, 1),
    ("server", "crash long"): (1, 0),
    ("server", "dies"): (1, 1),
    ("server", "lost goodbye"): (1, 0),
    ("server", "reboot without return"): (1, 1),
}
LAST_CALL = ("shutdown", "reboot")  # its agent stops: without a stream it tries one at once to say so
TIMED = ("reboot", "reboot without return")  # a goodbye with a time by which a server must be back
QUIET = 0.6
LIVES = ("shutdown", "reboot", "sleep", "lost goodbye", "crash short", "crash long", "dies", "pause", "quiet")


@dataclass(slots=True)
class Life:
    """One computer and its script: (time, what) in order."""

    identity: Identity
    what: str
    script: list[tuple[float, str]]
    up: bool = True
    boot: int = 1
    slept: float = 0.0
    down_at: float = 0.0
    record: pb.Absence | None = None
    connected: bool = False
    gen: int = 0
    connect_at: float = 0.0
    unheard: bool = False  # it said goodbye, and nobody listened
    calls: bool = False  # its agent is there and says it as soon as somebody does
    unsure: bool = False  # the time it had left was changed while no collector looked


@dataclass(slots=True)
class World:
    """A collector and its computers. `jump` is what the database's clock was moved by."""

    store: Store
    rng: random.Random
    at: float = START
    jump: float = 0.0
    lives: dict[str, Life] = field(default_factory=dict)
    alive: bool = True
    head: Head = field(init=False)
    own: OwnSeries = field(init=False)
    intake: Intake = field(init=False)
    attendance: Attendance = field(init=False)
    schedule: Schedule = field(init=False)

    def begin(self) -> None:
        """The collector starts."""
        self.head = Head(retention=3600.0, interval=ROUND)
        self.own = OwnSeries(self.head)
        self.intake = Intake(self.store)
        self.attendance = Attendance(
            self.store,
            Policy(),
            self.own.tell,
            lambda: self.at,
            excuse=self.intake.late_notice,
            database_clock=lambda _: self.at + self.jump,
        )
        with self.store.read() as conn:
            alerts = load_alerts(conn)
        self.schedule = Schedule(load_files([RULES]), alerts, started_at=self.at)
        self.attendance.load()
        self.alive = True

    def step(self) -> None:
        """One tick of everybody."""
        self.at += TICK
        for life in self.lives.values():
            while life.script and life.script[0][0] <= self.at:
                self.act(life, life.script.pop(0)[1])
        if not self.alive:
            return
        for life in self.lives.values():
            if life.up:
                self.stream(life)
            elif life.calls and self.at >= life.connect_at:
                self.call(life)
        judgement = self.attendance.judge(self.attendance.look(everybody=False))
        won = self.attendance.claim(judgement.claims) if judgement.claims else {}
        self.attendance.settle(won, judgement.claims)
        self.attendance.write(self.attendance.take())
        self.own.write(self.at)
        for _ in self.own.repeating(lambda: self.at):
            pass
        self.schedule.run(self.head.select, self.at, commit=self.intake.alerts, record=self.head.set)

    def stream(self, life: Life) -> None:
        if not life.connected and self.at >= life.connect_at:
            self.hello(life)
        if life.connected:
            self.attendance.live(life.identity.agent_id)

    def hello(self, life: Life) -> None:
        now = int(self.at * 1e9)
        hello = pb.Hello(boot_id=f"boot-{life.boot}", wall_ns=now, boottime_ns=int((1e6 + life.slept) * 1e9))
        hello.monotonic_ns = int(1e15)
        if life.record is not None:
            hello.last_absence.CopyFrom(life.record)
        host = life.identity.agent_id
        with self.store.write() as conn:
            before = hosts.host(conn, host, None)
            assert before is not None
            gen = hosts.open_session(conn, host, at=self.at + self.jump, facts={}, version="1", fingerprint="f")
            (arrival,) = arrived(conn, [(before, gen, hello)], self.at + self.jump)
        if arrival.late:
            self.attendance.excuse(host, arrival.account.reason)
        self.attendance.welcomed(life.identity, gen, arrival, slept=life.slept)
        life.gen, life.connected, life.record = gen, True, None

    def call(self, life: Life) -> None:
        """A paused agent says what nobody heard, and nothing else; its record stays for its return."""
        record = life.record
        self.hello(life)
        self.attendance.goodbye(life.identity.agent_id, "user_pause", 0.0)
        self.cut(life)
        life.record, life.calls, life.unheard = record, False, False

    def act(self, life: Life, what: str) -> None:
        """One line of a script; nobody hears a "lost ..." nor a goodbye without a stream: the record explains them."""
        word, _, reason = what.partition(" ")
        if word in {"goodbye", "lost"}:
            name = pb.GoingAwayReason.Value(f"GOING_AWAY_REASON_{reason.upper()}")
            now = int(self.at * 1e9)
            record = pb.Absence(reason=name, wall_ns=now, boot_id=f"boot-{life.boot}", clean=True)
            life.record = record
            if word == "goodbye" and reason in LAST_CALL and self.alive and not life.connected:
                self.hello(life)
                life.record = record  # a Hello that only says goodbye leaves it for the return
            life.unheard = word == "lost" or not (life.connected and self.alive)
            life.calls = life.unheard and reason == "user_pause"
            if not life.unheard:
                self.attendance.goodbye(life.identity.agent_id, reason, 0.0)
        if word in {"goodbye", "lost", "die"}:
            self.cut(life)
            life.up, life.down_at = False, self.at
        elif word == "boot":
            life.up, life.boot, life.connect_at = True, life.boot + 1, self.at
        elif word == "wake":
            life.calls = False
            life.up, life.slept, life.connect_at = True, life.slept + self.at - life.down_at, self.at

    def cut(self, life: Life) -> None:
        if life.connected and self.alive:
            self.attendance.ended(life.identity.agent_id, life.gen)
        life.connected = False

    def die(self) -> None:
        """The collector is gone; everybody comes back later, each at its own time."""
        self.alive = False
        for life in self.lives.values():
            life.connected = False
            life.connect_at = self.at + self.rng.uniform(0.0, 60.0)

    def move(self, seconds: float) -> None:
        """The database's clock steps; where no collector runs, nobody can tell that from time that passed."""
        self.jump += seconds
        for life in self.lives.values():
            life.unsure = life.unsure or not (self.alive or life.up)

    def tickets(self) -> tuple[Counter[str], Counter[str], list[str]]:
        """By host id: tickets ever, and those neither ended nor recovered; beside them the titles of all others."""
        ever, open_, strange = Counter[str](), Counter[str](), list[str]()
        with self.store.read() as conn:
            for ticket in (ticket_of(row) for row in conn.execute(select_tickets())):
                if ticket.host_id is None:
                    strange.append(ticket.title)
                    continue
                ever[ticket.host_id] += 1
                open_[ticket.host_id] += ticket.open and ticket.recovered_at is None
        return ever, open_, strange


def script(what: str, rng: random.Random) -> list[tuple[float, str]]:
    """A life's script from START on: what happens, and when."""
    begin = START + rng.uniform(120.0, 1500.0)
    away = rng.uniform(120.0, 1200.0)
    scripts = {
        "shutdown": [(begin, "goodbye shutdown")] + ([(begin + away, "boot")] if rng.random() < 0.7 else []),
        "reboot": [(begin, "goodbye reboot"), (begin + min(away, 900.0), "boot")],
        "sleep": [(begin, "goodbye sleep"), (begin + away, "wake")],
        "pause": [(begin, "goodbye user_pause"), (begin + away, "wake")],
        "lost goodbye": [(begin, "lost shutdown"), (begin + 200.0 + away, "boot")],
        "crash short": [(begin, "die"), (begin + rng.uniform(20.0, 60.0), "boot")],
        "crash long": [(begin, "die"), (begin + 400.0 + away, "boot")],
        "dies": [(begin, "die")],
        "reboot without return": [(begin, "goodbye reboot")],
        "quiet": [],
    }
    return scripts[what]


def build(folder: Path, number: int, seed: int, *, kinds: tuple[str, ...] = (*LIVES, "reboot without return")) -> World:
    """A world of `number` computers, each of its own site, with everybody online."""
    rng = random.Random(seed)  # noqa: S311 - a seed that can be told again
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    upgrade(f"sqlite:///{folder}/czuwak.db")
    world = World(open_store(f"sqlite:///{folder}/czuwak.db"), rng)
    with world.store.write() as conn:
        company = hosts.add_company(conn, "acme", "Acme", START)
        for n in range(number):
            host, class_ = f"h{n}", rng.choice(CLASSES)
            world.lives[host] = Life(
                Identity(host, host, host, "acme", host, class_), what := _chosen(rng, class_, kinds), []
            )
            world.lives[host].script = script(what, rng)
            row = {"id": host, "company_id": company.id, "site": host, "name": host, "instance": host, "class": class_}
            row |= {"presence": "never_seen", "presence_reason": "", "presence_since": START, "session_gen": 0}
            row |= {"agent_version": "1", "facts": {}, "first_seen": START, "machine_fingerprint": "f"}
            conn.execute(sa.insert(t.host).values(**row))
    world.begin()
    return world


def _chosen(rng: random.Random, class_: str, kinds: tuple[str, ...]) -> str:
    """Most servers stay as they are: six of twenty that die within five minutes are an outage, and rightly so."""
    return "quiet" if class_ == "server" and rng.random() < QUIET else rng.choice(kinds)


def live(world: World, *, horizon: float = HORIZON, restarts: int = 2, jumps: int = 2) -> None:
    """Time goes by, with the collector killed and the database's clock moved in between."""
    rng = world.rng
    kills = sorted(START + rng.uniform(300.0, horizon - 900.0) for _ in range(restarts))
    moves = sorted(START + rng.uniform(300.0, horizon - 900.0) for _ in range(jumps))
    back = 0.0
    while world.at < START + horizon:
        if kills and world.at >= kills[0] and world.alive:
            kills.pop(0)
            world.die()
            back = world.at + rng.uniform(20.0, 120.0)
        if moves and world.at >= moves[0]:
            moves.pop(0)
            world.move(rng.choice((-3600.0, -200.0, 200.0, 3600.0)))
        if not world.alive and world.at >= back:
            world.begin()
        world.step()


def deserved(life: Life) -> tuple[int, int, int]:
    """At least so many tickets, at most so many, and at most so many open at the end."""
    most, at_end = LOUD.get((life.identity.class_, life.what), (0, 0))
    if life.identity.class_ == "server" and life.unheard:
        # Nobody knew: its silence has a ticket unless it came back before the grace of our own start was over, and
        # its return closes it. One that never returned has its ticket still.
        away = int(not life.up)
        return away, 1, away
    if life.identity.class_ == "server" and life.unsure and life.what in TIMED:
        return 0, 1, at_end  # earlier or later by that step; what came too early is closed by the return
    return most, most, at_end


def wrong(world: World) -> list[str]:
    """Every computer whose tickets are not what its life deserves."""
    ever, open_, strange = world.tickets()
    found = [f"a ticket about no host: {title}" for title in strange]
    for host, life in world.lives.items():
        least, most, at_end = deserved(life)
        if not least <= ever[host] <= most or open_[host] > at_end:
            told = f"{ever[host]} tickets, {open_[host]} open; {most} deserved"
            found.append(f"{life.identity.class_} {host}, {life.what}: {told}")
    return found
