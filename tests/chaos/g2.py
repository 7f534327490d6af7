"""G2: the agent is killed again and again, while its collector is there, away or silent and while the spool writes."""

import random
import signal
import subprocess
import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.spool import BLOCK
from czuwak.v1 import ingest_pb2 as pb
from tests.agent.conftest import Listener, authority, write_identity
from tests.chaos.outcome import fewer, violated
from tests.e2e.plant import fetch, ports, until

GOAL = "500 kills of the agent, spool writes included: 0 lost beyond two intervals, 0 failed starts"
KILLS = 500
INTERVAL = 0.5
PROMISE = 2 * INTERVAL
# The page tells when the clock was read within a round; its batch tells when the round began.
WITHIN = 0.9 * INTERVAL
BIN = Path(sys.executable).parent


@dataclass
class Book:
    """What an agent's collector was sent, apart from the product's own books."""

    batches: dict[tuple[str, int], float] = field(default_factory=dict)  # -> when the round began
    told_lost: int = 0
    dropped: int = 0
    queued: int = -1

    def hear(self, request: pb.StreamRequest) -> list[pb.StreamResponse]:
        """Write it down; the answer is the usual one."""
        if request.HasField("batch"):
            batch = request.batch
            if (batch.epoch, batch.seq) not in self.batches:
                self.batches[batch.epoch, batch.seq] = batch.wall_ns / 1e9
                self.told_lost += batch.lost_before
        elif request.HasField("heartbeat"):
            self.queued, self.dropped = request.heartbeat.queued_batches, request.heartbeat.dropped_total
        elif request.HasField("hello"):
            self.dropped = request.hello.dropped_total
        return []


@dataclass(frozen=True, slots=True)
class Life:
    """One run of the agent: the rounds its page showed, by the clock in them, and when it was killed."""

    rounds: tuple[float, ...]
    killed: float


def run(budget_seconds: float, folder: Path, kills: int = KILLS, seed: int = 2) -> list[str]:
    """Kill for most of the budget, then let the last agent send everything, and compare."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    end = time.monotonic() + 0.85 * budget_seconds
    book = Book()
    lives: list[Life] = []
    failed = 0
    with _collector(folder, book) as (listener, page):
        while len(lives) < kills and time.monotonic() < end:
            _mood(listener, chance)
            life = _life(folder, page, chance)
            failed += life is None
            lives += [life] if life is not None else []
        _mood(listener, None)
        book.queued = -1
        process = _agent(folder)
        until("everything is sent", lambda: 0 <= book.queued <= 1, max(60.0, 0.3 * budget_seconds))
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    return _verdict(book, lives, failed, kills)


def _verdict(book: Book, lives: list[Life], failed: int, kills: int) -> list[str]:
    runs: dict[int, list[int]] = {}
    for _, seq in book.batches:
        runs.setdefault((seq - 1) // BLOCK, []).append(seq)
    holes = sum(max(taken) - number * BLOCK - len(taken) for number, taken in runs.items())
    owed = [at for life in lives for at in life.rounds if at <= life.killed - PROMISE]
    arrived = sorted(book.batches.values())
    lost = sum(bisect_right(arrived, at) == bisect_left(arrived, at - WITHIN) for at in owed)
    epochs = len({epoch for epoch, _ in book.batches})
    line = (
        f"{len(lives)} kills, {failed} failed starts: {len(book.batches)} rounds arrived in {epochs} epoch(s), "
        f"{holes} missing before the last of a run; of {len(owed)} that the page showed two intervals before a kill "
        f"{lost} are lost; "
        f"{book.dropped} counted as lost"
    )
    bad = failed or holes or lost or book.dropped or book.told_lost or epochs > 1
    lines = [violated(line) if bad else line]
    return lines + ([fewer(f"{len(lives)} kills of {kills}")] if len(lives) < kills else [])


@contextmanager
def _collector(folder: Path, book: Book) -> Iterator[tuple[Listener, str]]:
    """A little collector of our own over mTLS, and the address of the agent's page."""
    ca = authority("Chaos CA")
    listener = Listener(ca)
    listener.collector.answers = book.hear
    listener.collector.welcome = pb.Welcome(
        protocol=1, interval_seconds=INTERVAL, heartbeat_seconds=1.0, replay_credits=32
    )
    listener.start()
    write_identity(folder / "identity", ca, listener.where, 30)
    port = ports(("page",))["page"]
    (folder / "agent.toml").write_text(
        f'interval = {INTERVAL}\n[agent]\nstate_dir = "{folder}/state"\n[identity]\ndir = "{folder}/identity"\n'
        f'[exposition]\nlisten = "127.0.0.1:{port}"\n'
    )
    try:
        yield listener, f"http://127.0.0.1:{port}/metrics"
    finally:
        listener.stop()


def _mood(listener: Listener, chance: random.Random | None) -> None:
    """The collector is there, takes but never acknowledges, or is away."""
    mood = "there" if chance is None else chance.choice(("there", "there", "silent", "away", "away"))
    listener.collector.acks = mood != "silent"
    if mood == "away":
        listener.stop()
    elif listener.server is None:
        listener.start()


def _life(folder: Path, page: str, chance: random.Random) -> Life | None:
    process = _agent(folder)
    rounds: dict[float, None] = {}
    try:
        until("a round", lambda: process.poll() is not None or _clock(page), 30)
        end = time.monotonic() + chance.uniform(0.0, 5 * INTERVAL)
        while time.monotonic() < end:
            if clock := _clock(page):
                rounds[clock] = None
            time.sleep(0.1)
    except AssertionError:
        rounds.clear()
    finally:
        alive = process.poll() is None
        process.kill()
        killed = time.time()
        process.wait(20)
    return Life(tuple(rounds), killed) if alive else None


def _clock(page: str) -> float:
    """The clock in the newest round of the page; 0 before the first."""
    for line in (fetch(page) or "").splitlines():
        if line.startswith("node_time_seconds "):
            return float(line.split()[1])
    return 0.0


def _agent(folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / "agent.log").open("ab") as log:
        return subprocess.Popen([BIN / "czuwak-agent", "run", "--config", folder / "agent.toml"], stderr=log)
