"""Both ends of the stream joined without a socket: what is acknowledged is durable, and nothing counts twice.

The link loses the connection at any message, either side dies at any time, commits take the lanes in any order, and
the only clock is the test's.
"""

import hashlib
import struct
import tempfile
from collections import deque
from dataclasses import replace
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent import events as told
from agent.batch import hash_of, worded
from agent.disk import Disk
from agent.session import Session as Uplink
from agent.session import State
from agent.session import step as agent_step
from agent.spool import Spool
from agent.wire import LANES, event_of
from collector.ingest import events as heard
from collector.ingest.packing import unpacked
from collector.ingest.session import FEATURES, Phase, Session, begin, inherit, step
from collector.ingest.stamp import Identity
from czuwak.v1 import ingest_pb2 as pb

NOW = 1_800_000_000.0
BOOTED = NOW - 100_000.0
IDENTITY = Identity("a-1", "pc1", "pc1", "acme", "waw", "server")
SERIES = [pb.Series(name="node_thing", kind=pb.METRIC_KIND_GAUGE)]
SCHEMA = pb.Schema(
    hash=hashlib.sha256(pb.Schema(series=SERIES).SerializeToString(deterministic=True)).digest()[:16], series=SERIES
)
Place = tuple[str, int]
MEMORY = Path("/dev/shm")  # noqa: S108 - fresh folders in it


class Agent:
    """The uplink's table and the spool, driven as `agent/uplink.py` does."""

    def __init__(self, folder: Path, runs: int = 0) -> None:
        self.folder = folder
        self.runs = runs
        self.forgot = False
        self.taken: dict[Place, float] = {}  # every batch ever made: its value
        self.acked: set[Place] = set()
        self.vanished: set[Place] = set()  # in memory alone when the process died
        self.out: deque[pb.StreamRequest] = deque()
        self.held: list[told.RetryDue] = []
        self.start()

    def start(self) -> None:
        self.runs += 1
        disk = Disk(self.folder / "spool.db", most_rows=200)
        self.spool = Spool(f"e{self.runs}", disk, interval=15.0)
        self.uplink = Uplink()
        self.out.clear()
        self.held.clear()

    def crash(self) -> None:
        """What waits for less than two intervals may be lost; the rest must not."""
        disk = self.spool._disk
        assert disk is not None
        loose = {(self.spool.epoch, seq) for seq in self.spool._ring.loose}
        assert loose <= {(self.spool.epoch, self.spool.next_seq - 1)}, "an interval old, and not on disk"
        self.vanished |= loose
        before = self.waiting()
        disk.close()
        self.start()
        assert before - loose <= self.waiting()

    def lose_its_books(self) -> None:
        """The agent is stopped, and its disk forgets whose numbers these are: they stay beside those of a new epoch.

        Once, for a collector remembers two epochs of an agent.
        """
        if self.forgot:
            return
        self.forgot = True
        self.spool.close()
        disk = Disk(self.folder / "spool.db", most_rows=200)
        disk.open()
        disk.change(replace(disk.books, epoch=""))
        disk.close()
        self.start()

    def follow(self, before: "Agent") -> None:
        """On the same computer after the loss of its disk: what waited there is gone."""
        self.taken, self.acked = before.taken, before.acked
        self.vanished = before.vanished | (before.taken.keys() - before.acked)

    def round(self, at: float) -> None:
        seq = self.spool.next_seq
        place = (self.spool.epoch, seq)
        assert place not in self.taken, "a number was given twice"
        self.taken[place] = float(len(self.taken))
        batch = pb.Batch(
            epoch=place[0],
            seq=seq,
            boottime_ns=int((at - BOOTED) * 1e9),
            schema_hash=SCHEMA.hash,
            values=struct.pack("<d", self.taken[place]),
            boot_id="b1",
            wall_ns=int(at * 1e9),
        )
        self.apply(told.RoundTaken(self.spool.add(batch, SCHEMA)))

    def apply(self, event: told.Event) -> None:
        waiting: deque[told.Event] = deque([event])
        while waiting:
            self.uplink, actions = agent_step(self.uplink, waiting.popleft())
            waiting.extend(answer for action in actions if (answer := self.do(action)) is not None)

    def do(self, action: told.Action) -> told.Event | None:  # noqa: C901 - one case for each action
        match action:
            case told.SendHello():
                self.out.append(pb.StreamRequest(hello=self.hello()))
            case told.SendSchema():
                self.out.append(pb.StreamRequest(schema=SCHEMA))
            case told.SendBatch(number, lane):
                found = self.spool.batch(number, LANES[lane])
                if found is None:
                    return told.Gone(number)
                self.out.append(pb.StreamRequest(batch=found))
            case told.Fetch(after, count, rewind):
                return told.Found(self.spool.waiting(after, count, rewind))
            case told.Acknowledge(numbers):
                self.acked |= {self.place(number) for number in numbers}
                for number in numbers:
                    self.spool.acknowledge(number)
            case told.AcknowledgeBelow(seq):
                epoch = self.spool.epoch
                self.acked |= {p for p in self.taken if p[0] == epoch and p[1] < seq and p in self.waiting()}
                self.spool.acknowledge_below(seq)
            case told.Discard(number, _):
                raise AssertionError(f"batch {number} was refused for good")
            case told.RetryLater(number, _):
                self.held.append(told.RetryDue(number))
        return None

    def place(self, number: int) -> Place:
        entry = next((e for e in self.spool.waiting(number - 1, 1) if e.number == number), None)
        return (entry.epoch, entry.seq) if entry else (self.spool.epoch, number)

    def waiting(self) -> set[Place]:
        return {(entry.epoch, entry.seq) for entry in self.spool.waiting(-(2**62), 10_000)}

    def hello(self) -> pb.Hello:
        return pb.Hello(
            protocol_min=1,
            protocol_max=1,
            boot_id="b1",
            run_id=f"r{self.runs}",
            epoch=self.spool.epoch,
            first_seq=self.spool.first_seq,
            next_seq=self.spool.next_seq,
            dropped_total=self.spool.dropped,
            wall_ns=int(NOW * 1e9),
            boottime_ns=1,
        )


class Collector:
    """The session's table and a database that is two sets; a commit takes what the test says."""

    def __init__(self) -> None:
        self.gen = 0
        self.durable: set[Place] = set()
        self.effects: dict[Place, int] = {}
        self.lost = 0
        self.start()

    def start(self) -> None:
        self.session: Session | None = None
        self.books: Session | None = None
        self.pending: dict[int, deque[tuple[heard.Mark, bool]]] = {pb.LANE_LIVE: deque(), pb.LANE_REPLAY: deque()}
        self.appended: set[Place] = set()
        self.memory: set[Place] = set()
        self.out: deque[pb.StreamResponse] = deque()

    def connect(self, at: float) -> None:
        self.hang_up()
        self.session = begin(IDENTITY, heard.Terms(replay_credits=8), at)
        self.out.clear()

    def hang_up(self) -> None:
        if self.session is not None and self.session.gen:
            self.books = self.session
        self.session = None

    def hear(self, event: heard.Event, at: float) -> None:
        assert self.session is not None
        self.session, actions = step(self.session, event, at)
        for action in actions:
            match action:
                case heard.OpenSession():
                    self.gen += 1
                    if self.books is not None:
                        self.session = inherit(self.session, self.books)
                    self.hear(heard.Opened(self.gen), at)
                case heard.Append():
                    self.append(action)
                case heard.Send():
                    self.out.append(action.message)
                case heard.Lost():
                    self.lost = max(self.lost, action.total)
                case heard.Close():
                    raise AssertionError(action.detail)

    def append(self, batch: heard.Append) -> None:
        place = (batch.mark.epoch, batch.mark.seq)
        if not batch.duplicate:
            assert place not in self.appended, f"{place} had two effects"
            self.appended.add(place)
            self.memory.add(place)
        self.pending[batch.mark.lane].append((batch.mark, batch.duplicate))

    def commit(self, lane: int, count: int, at: float) -> None:
        """A lane's oldest batches become durable; a duplicate is acknowledged only where its original is."""
        queue = self.pending[lane]
        marks: list[heard.Mark] = []
        while queue and len(marks) < count:
            mark, duplicate = queue[0]
            place = (mark.epoch, mark.seq)
            if duplicate and place not in self.durable and self.under_way(place):
                break
            queue.popleft()
            marks.append(mark)
            if not duplicate or place in self.memory:
                self.durable.add(place)
        settled = heard.Committed(tuple(marks))
        if self.session is not None and self.session.gen:
            self.hear(settled, at)
        elif self.books is not None:
            self.books, _ = step(self.books, settled, at)

    def under_way(self, place: Place) -> bool:
        return any(
            not duplicate and (mark.epoch, mark.seq) == place
            for queue in self.pending.values()
            for mark, duplicate in queue
        )


class Joined:
    """An agent and a collector at work, and what may happen to them in any order."""

    def __init__(self, folder: Path) -> None:
        self.at = NOW
        self.folder = folder
        self.disks = 0
        self.collector = Collector()
        self.new_agent()
        self.rounds(2)
        self.connect(1)

    def new_agent(self) -> None:
        self.disks += 1
        folder = self.folder / str(self.disks)
        folder.mkdir()
        self.agent = Agent(folder, 1000 * self.disks)

    @property
    def connected(self) -> bool:
        return self.collector.session is not None and self.agent.uplink.state is not State.DISCONNECTED

    def do(self, what: str, count: int) -> None:
        getattr(self, what)(count)
        self.check()

    def rounds(self, count: int) -> None:
        for _ in range(count):
            self.at += 15.0
            self.agent.round(self.at)

    def connect(self, _: int) -> None:
        if not self.connected:
            self.cut(1)
            self.collector.connect(self.at)
            self.agent.apply(told.Connected())

    def to_the_collector(self, count: int) -> None:
        for _ in range(count):
            if self.agent.out and self.connected:
                message = self.agent.out.popleft()
                if message.HasField("hello"):
                    message.hello.boottime_ns = int((self.at - BOOTED) * 1e9)
                self.collector.hear(heard.Said(message, message.ByteSize()), self.at)

    def to_the_agent(self, count: int) -> None:
        for _ in range(count):
            if self.collector.out and self.connected:
                event = event_of(self.collector.out.popleft(), at_ns=int((self.at - BOOTED) * 1e9))
                if event is not None:
                    self.agent.apply(event)

    def talk(self, _: int) -> None:
        """Whatever both have to say arrives; nothing is committed."""
        self.connect(1)
        for _ in range(3):
            self.to_the_collector(100)
            self.to_the_agent(100)

    def commit_live(self, count: int) -> None:
        self.collector.commit(pb.LANE_LIVE, count, self.at)

    def commit_replay(self, count: int) -> None:
        self.collector.commit(pb.LANE_REPLAY, 2 * count, self.at)

    def refuse(self, _: int) -> None:
        """The collector takes no new batch for a moment."""
        if self.connected and self.collector.session is not None and self.collector.session.phase is Phase.LIVE:
            self.collector.hear(heard.Refused(self.at + 20.0, 1000), self.at)

    def retry(self, count: int) -> None:
        """The newest first: each has a time of its own."""
        for _ in range(min(count, len(self.agent.held))):
            self.agent.apply(self.agent.held.pop())

    def cut(self, _: int) -> None:
        """Whatever was on its way is lost, on both ways."""
        self.collector.hang_up()
        if self.agent.uplink.state is not State.DISCONNECTED:
            self.agent.apply(told.Disconnected())
        self.agent.out.clear()
        self.agent.held.clear()

    def collector_dies(self, _: int) -> None:
        self.cut(1)
        self.collector.start()

    def agent_dies(self, _: int) -> None:
        self.collector.hang_up()
        self.agent.crash()

    def books_die(self, _: int) -> None:
        self.collector.hang_up()
        self.agent.lose_its_books()

    def disk_dies(self, _: int) -> None:
        """And with it the agent: another epoch begins, its numbers from one on."""
        self.collector.hang_up()
        before = self.agent
        before.spool.close()
        self.new_agent()
        self.agent.follow(before)

    def check(self) -> None:
        assert self.agent.acked <= self.collector.durable, "acknowledged, but not durable"
        session = self.collector.session or self.collector.books
        if session is not None and session.phase is Phase.LIVE:
            pages = {page.epoch: page.durable for page in session.ledger.pages}
            for epoch, seq in self.agent.waiting() - self.collector.durable:
                assert epoch not in pages or seq not in pages[epoch], f"{seq} would never be sent again"

    def come_to_rest(self) -> None:
        """Without faults everything that can be delivered is, and the rest is counted."""
        for _ in range(100):
            self.at += 30.0  # a refusal is over by then
            for what in ("retry", "talk", "commit_live", "commit_replay", "talk"):
                self.do(what, 100)
            quiet = not self.agent.out and not self.collector.out and not any(self.collector.pending.values())
            if quiet and not self.agent.waiting():
                break
            if quiet:
                self.agent.round(self.at)
        assert not self.agent.waiting()
        missing = self.agent.taken.keys() - self.collector.durable
        assert missing <= self.agent.vanished
        assert self.collector.lost <= len(missing)


WORK = ("rounds", "rounds", "talk", "talk", "to_the_collector", "to_the_agent", "commit_live", "commit_replay")
FAULTS = ("cut", "refuse", "retry", "agent_dies", "books_die", "disk_dies")


def walks(*whats: str) -> st.SearchStrategy[list[tuple[str, int]]]:
    return st.lists(st.tuples(st.sampled_from(whats), st.integers(1, 6)), min_size=20, max_size=50)


def walk(steps: list[tuple[str, int]]) -> Joined:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        joined = Joined(Path(folder))
        try:
            for step_ in steps:
                joined.do(*step_)
            joined.come_to_rest()
        finally:
            joined.agent.spool.close()
    return joined


@settings(max_examples=60, deadline=None)
@given(steps=walks(*WORK, *FAULTS, "collector_dies"))
@example(steps=[(what, 1) for what in ("agent_dies", "rounds", "rounds", "books_die")])
def test_i1_acked_means_durable_effect(steps: list[tuple[str, int]]) -> None:
    walk(steps)


@settings(max_examples=60, deadline=None)
@given(steps=walks(*WORK, *FAULTS))
@example(steps=[(what, 1) for what in ("talk", "disk_dies", "rounds", "talk", "commit_live", "books_die")])
def test_i2_no_number_has_two_effects(steps: list[tuple[str, int]]) -> None:
    """A collector that never dies: what it appended once it never appends again, as `Collector.append` asserts."""
    walk(steps)


def test_an_agent_packs_its_schema_for_who_unpacks_it() -> None:
    assert worded(SCHEMA, ()) == SCHEMA
    packed = worded(SCHEMA, FEATURES)
    assert packed.packed
    assert unpacked(packed) == SCHEMA
    most = [pb.Series(name=f"n{n}", labels=[pb.Label(name="l", value="v" * 512)]) for n in range(2000)]
    unusual = pb.Schema(hash=hash_of(most), series=most)
    assert worded(unusual, FEATURES) == unusual, "longer than the collector unpacks"


def test_an_agent_is_served_by_a_collector_of_the_release_before() -> None:
    """Its Welcome names no features and has a field nobody knows; its messages of unknown kinds are no events."""
    old = pb.Welcome(protocol=1, session_gen=1, resume_seq=1, interval_seconds=15.0, replay_credits=32)
    newer = pb.Welcome.FromString(old.SerializeToString() + b"\xfa\x3f\x03new")
    event = event_of(pb.StreamResponse(welcome=newer), at_ns=1)
    assert isinstance(event, told.WelcomeReceived)
    uplink, _ = agent_step(agent_step(Uplink(), told.Connected())[0], event)
    assert uplink.state is State.LIVE
    assert event_of(pb.StreamResponse.FromString(b"\xfa\x3f\x03new"), at_ns=1) is None
