"""G2: the agent is killed again and again, while its collector is there, away or silent and while the spool writes."""

import math
import random
import signal
import struct
import subprocess
import sys
import time
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
PROMISE = 2  # intervals
CLOCK = "node_time_seconds"  # tells the rounds of the page and of the stream apart, and their age
BIN = Path(sys.executable).parent


@dataclass
class Book:
    """What an agent's collector was sent, apart from the product's own books."""

    rounds: dict[tuple[str, int], float] = field(default_factory=dict)  # -> the clock that was read in it
    told_lost: int = 0
    dropped: int = 0
    queued: int = -1
    _columns: dict[bytes, int] = field(default_factory=dict)  # by schema: where the clock is

    def hear(self, request: pb.StreamRequest) -> list[pb.StreamResponse]:
        """Write it down; the answer is the usual one."""
        match request.WhichOneof("message"):
            case "schema":
                names = [series.name for series in request.schema.series]
                self._columns[request.schema.hash] = names.index(CLOCK)
            case "batch":
                batch = request.batch
                if (batch.epoch, batch.seq) not in self.rounds:
                    self.rounds[batch.epoch, batch.seq] = self._clock(batch)
                    self.told_lost += batch.lost_before
            case "heartbeat":
                self.queued, self.dropped = request.heartbeat.queued_batches, request.heartbeat.dropped_total
            case "hello":
                self.dropped = request.hello.dropped_total
        return []

    def _clock(self, batch: pb.Batch) -> float:
        column = self._columns[batch.schema_hash]
        if batch.presence:
            column = (int.from_bytes(batch.presence, "little") & ((1 << column) - 1)).bit_count()
        (clock,) = struct.unpack_from("<d", batch.values, 8 * column)
        return float(clock)


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
    arrived = set(book.rounds.values())
    shown = [(at, (life.killed - at) / INTERVAL) for life in lives for at in life.rounds]
    owed = sum(age >= PROMISE for _, age in shown)
    lost = [age for at, age in shown if at not in arrived]
    broken = sum(age >= PROMISE for age in lost)
    holes = _holes(book, [life.killed for life in lives])
    epochs = len({epoch for epoch, _ in book.rounds})
    line = (
        f"{len(lives)} kills, {failed} failed starts: {len(book.rounds)} rounds arrived in {epochs} epoch(s), "
        f"{holes} owed ones missing between them; of {owed} that the page showed and that were two intervals old at a "
        f"kill {broken} are lost; the oldest round a kill cost was {max(lost, default=0.0):.2f} intervals old; "
        f"{book.dropped} counted as lost"
    )
    bad = failed or holes or broken or book.dropped or book.told_lost or epochs > 1
    lines = [violated(line) if bad else line]
    return lines + ([fewer(f"{len(lives)} kills of {kills}")] if len(lives) < kills else [])


def _holes(book: Book, kills: list[float]) -> int:
    """Numbers that a run gave and nobody got, though even the round after them was two intervals old at its kill."""
    runs: dict[int, dict[int, float]] = {}
    for (_, seq), at in book.rounds.items():
        runs.setdefault((seq - 1) // BLOCK, {})[seq] = at
    holes = 0
    for number, run in runs.items():
        before = number * BLOCK
        for seq, at in sorted(run.items()):
            killed = next((kill for kill in kills if kill > at), math.inf)
            if (killed - at) / INTERVAL >= PROMISE:
                holes += seq - before - 1
            before = seq
    return holes


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
        killed = time.time()  # before the kill: no round is taken for older than it was
        process.kill()
        process.wait(20)
    return Life(tuple(rounds), killed) if alive else None


def _clock(page: str) -> float:
    """The clock in the newest round of the page; 0 before the first."""
    for line in (fetch(page) or "").splitlines():
        if line.startswith(f"{CLOCK} "):
            return float(line.split()[1])
    return 0.0


def _agent(folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / "agent.log").open("ab") as log:
        return subprocess.Popen([BIN / "czuwak-agent", "run", "--config", folder / "agent.toml"], stderr=log)
