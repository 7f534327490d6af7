"""G2: the agent is killed again and again, while its collector is there, away or silent and while the spool writes."""

import random
import signal
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
# A round may be half an interval late on a busy machine, and the one after the last that counts is not yet due.
TAIL = 3.5 * INTERVAL
BIN = Path(sys.executable).parent


@dataclass
class Book:
    """What an agent's collector was sent, apart from the product's own books."""

    batches: dict[tuple[str, int], int] = field(default_factory=dict)  # -> boottime
    told_lost: int = 0
    dropped: int = 0
    queued: int = -1

    def hear(self, request: pb.StreamRequest) -> list[pb.StreamResponse]:
        """Write it down; the answer is the usual one."""
        if request.HasField("batch"):
            batch = request.batch
            if (batch.epoch, batch.seq) not in self.batches:
                self.batches[batch.epoch, batch.seq] = batch.boottime_ns
                self.told_lost += batch.lost_before
        elif request.HasField("heartbeat"):
            self.queued, self.dropped = request.heartbeat.queued_batches, request.heartbeat.dropped_total
        elif request.HasField("hello"):
            self.dropped = request.hello.dropped_total
        return []


@dataclass(frozen=True, slots=True)
class Life:
    """One run of the agent: when its first round was there, when it was killed, on the clock of the batches."""

    seen_ns: int
    killed_ns: int


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
    runs: dict[int, dict[int, int]] = {}
    for (_, seq), boottime in book.batches.items():
        runs.setdefault((seq - 1) // BLOCK, {})[seq] = boottime
    holes = sum(max(taken) - number * BLOCK - len(taken) for number, taken in runs.items())
    late = 0
    for life in lives:
        mine = [at for taken in runs.values() for at in taken.values() if life.seen_ns - 3e9 <= at <= life.killed_ns]
        tail = (life.killed_ns - max(mine, default=life.seen_ns)) / 1e9
        late += tail > TAIL
    epochs = len({epoch for epoch, _ in book.batches})
    line = (
        f"{len(lives)} kills, {failed} failed starts: {len(book.batches)} rounds arrived in {epochs} epoch(s), "
        f"{holes} missing before the last of a run, {late} runs lost more than two intervals, "
        f"{book.dropped} counted as lost"
    )
    bad = failed or holes or late or book.dropped or book.told_lost or epochs > 1
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
    seen = 0
    try:
        until("a round", lambda: process.poll() is not None or "node_" in (fetch(page) or ""), 30)
        seen = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        time.sleep(chance.uniform(0.0, 4 * INTERVAL))
    except AssertionError:
        pass
    finally:
        alive = seen > 0 and process.poll() is None
        process.kill()
        killed = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        process.wait(20)
    return Life(seen, killed) if alive else None


def _agent(folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / "agent.log").open("ab") as log:
        return subprocess.Popen([BIN / "czuwak-agent", "run", "--config", folder / "agent.toml"], stderr=log)
