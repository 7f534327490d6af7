"""G25: the agent starts on a spool whose bits were flipped and ends cut off, and counts what it lost."""

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.batch import schema_of
from agent.disk import Disk
from agent.round import Round
from agent.sample import Family, Kind, Sample
from agent.spool import Spool
from czuwak.v1 import ingest_pb2 as pb
from tests.chaos.outcome import fewer, violated

GOAL = "10,000 bit flips and truncations of the agent's spool: 100 % start, loss counted"
TIMES = 10_000
BATCHES = 120
START = -(2**62)
SLOW = 1.0
SCHEMA = schema_of(Round(0.0, 0, tuple(Sample(Family(f"metric_{n}", Kind.GAUGE, "One."), (), 1.0) for n in range(40))))


@dataclass(frozen=True, slots=True)
class Result:
    """One damaged spool: whether the agent works on it, whether all its batches are there or counted, how long."""

    started: bool
    exact: bool
    kept: int
    seconds: float
    problem: str = ""


@contextmanager
def workshop(folder: Path) -> Iterator[Path]:
    """A folder in memory where there is one."""
    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else folder) as name:
        yield Path(name)


def original(folder: Path) -> Mapping[str, bytes]:
    """The files of a spool with a backlog, as a killed agent leaves them."""
    place = folder / "original"
    place.mkdir()
    disk = Disk(place / "spool.db")
    spool = Spool("epoch", disk)
    _fill(spool, BATCHES)
    spool.flush()
    disk.close()
    files = {path.name: path.read_bytes() for path in place.iterdir()}
    shutil.rmtree(place)
    return files


def damaged(files: Mapping[str, bytes], chance: random.Random) -> Mapping[str, bytes]:
    """The same with one kind of damage, mostly to the database, sometimes to the journal."""
    name = "spool.db-journal" if chance.random() < 0.1 else "spool.db"
    data = bytearray(files[name])
    kind = chance.randrange(5)
    at = chance.randrange(len(data))
    page = at // 4096 * 4096
    if kind < 2:
        for _ in range(chance.choice((1, 1, 1, 8, 64))):
            data[chance.randrange(len(data)) if kind else chance.randrange(min(8192, len(data)))] ^= (
                1 << chance.randrange(8)
            )
    elif kind == 2:
        del data[at:]
    elif kind == 3:
        data[page : page + 4096] = bytes(4096) if chance.random() < 0.5 else chance.randbytes(4096)
    else:
        other = chance.randrange(len(data)) // 4096 * 4096
        data[page : page + 4096] = files[name][other : other + 4096]
    return {**files, name: bytes(data)}


def tried(files: Mapping[str, bytes], folder: Path) -> Result:
    """An agent's life on these files: start, send what is there, take rounds, end; then once more from what it left."""
    place = Path(tempfile.mkdtemp(dir=folder))
    began = time.perf_counter()
    try:
        for name, data in files.items():
            (place / name).write_bytes(data)
        disk = Disk(place / "spool.db")
        spool = Spool("new epoch", disk)
        sent = sum(spool.batch(entry.number, pb.LANE_REPLAY) is not None for entry in spool.waiting(START, 10_000))
        exact = sent + spool.dropped == BATCHES
        _fill(spool, 6)
        stored = spool.stored
        spool.close()
        again = Spool("newer epoch", Disk(place / "spool.db"))
        good = (
            not spool.trouble
            and not again.trouble
            and again.batches + again.dropped == spool.batches + spool.dropped
            and stored >= 4
        )
        return Result(good, exact, sent, time.perf_counter() - began, spool.trouble or again.trouble)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what this looks for
        return Result(started=False, exact=False, kept=0, seconds=0.0, problem=f"{type(error).__name__}: {error}")
    finally:
        shutil.rmtree(place)


def run(budget_seconds: float, folder: Path, times: int = TIMES, seed: int = 25) -> list[str]:
    """As many damaged spools as the budget allows."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    until = time.monotonic() + budget_seconds
    problems: Counter[str] = Counter()
    done = exact = kept = slow = 0
    longest = 0.0
    with workshop(folder) as place:
        files = original(place)
        while done < times and time.monotonic() < until:
            result = tried(damaged(files, chance), place)
            done += 1
            exact += result.exact
            kept += result.kept
            slow += result.seconds > SLOW
            longest = max(longest, result.seconds)
            if not result.started:
                problems[result.problem] += 1
    summary = (
        f"{done} damaged spools of {BATCHES} batches: {done - problems.total()} started and worked on; "
        f"{kept / (done * BATCHES):.1%} of the batches were saved, the loss was counted exactly {exact} times; "
        f"the longest start took {longest:.2f} s, {slow} over {SLOW:g} s"
    )
    lines = [summary]
    if done < times:
        lines.append(fewer(f"{done} of {times}"))
    return lines + [violated(f"{count} times: {problem or 'does not work'}") for problem, count in problems.items()]


def _fill(spool: Spool, count: int) -> None:
    for n in range(count):
        batch = pb.Batch(
            epoch=spool.epoch, seq=spool.next_seq, boottime_ns=n * 15 * 10**9, schema_hash=SCHEMA.hash,
            values=bytes(8 * 500),
        )  # fmt: skip
        spool.add(batch, SCHEMA)
