"""G25: the agent starts on a spool whose bits were flipped and ends cut off, and counts what it lost."""

import logging
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
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
PORTION = 50
SCHEMA = schema_of(Round(0.0, 0, tuple(Sample(Family(f"metric_{n}", Kind.GAUGE, "One."), (), 1.0) for n in range(40))))


@dataclass(frozen=True, slots=True)
class Result:
    """One damaged spool: whether the agent works on it, whether all its batches are there or counted, how long.

    `later`: batches that were lost, and counted, only at the start after.
    """

    started: bool
    exact: bool
    kept: int
    seconds: float
    problem: str = ""
    later: int = 0


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
    """An agent's life on these files: start, send what is there, take rounds, end; then once more from what it left.

    Damage that no reading meets, in a page that is free say, may cost batches at the second start only. That is a
    loss as any other: what can be sent then and what is counted are all that there was at the end of the first life.
    """
    place = Path(tempfile.mkdtemp(dir=folder))
    began = time.perf_counter()
    try:
        for name, data in files.items():
            (place / name).write_bytes(data)
        spool = Spool("new epoch", Disk(place / "spool.db"))
        sent = _sendable(spool)
        exact = sent + spool.dropped == BATCHES
        _fill(spool, 6)
        stored = spool.stored
        spool.close()
        again = Spool("newer epoch", Disk(place / "spool.db"))
        here = _sendable(again)
        was = spool.batches + spool.dropped
        findings = (
            (spool.trouble, spool.trouble),
            (again.trouble, again.trouble),
            (again.batches != here, f"{again.batches} are said to wait, {here} can be sent"),
            (here + again.dropped != was, f"{here} can be sent and {again.dropped} are counted lost, of {was}"),
            (stored < 4, f"{stored} are on disk after 6 rounds"),
        )
        problem = "; ".join(text for wrong, text in findings if wrong)
        return Result(not problem, exact, sent, time.perf_counter() - began, problem, spool.batches - here)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what this looks for
        return Result(started=False, exact=False, kept=0, seconds=0.0, problem=f"{type(error).__name__}: {error}")
    finally:
        shutil.rmtree(place)


def _sendable(spool: Spool) -> int:
    """Batches that can be sent; one that comes twice, or in the place of another, is one."""
    found = (spool.batch(entry.number, pb.LANE_REPLAY) for entry in spool.waiting(START, 10_000))
    return len({(batch.epoch, batch.seq) for batch in found if batch is not None})


def run(budget_seconds: float, folder: Path, times: int = TIMES, seed: int = 25) -> list[str]:
    """As many damaged spools as the budget allows, on every processor."""
    until = time.monotonic() + budget_seconds
    found: dict[int, Result] = {}
    with workshop(folder) as place:
        files = original(place)
        portions = [range(first, min(first + PORTION, times)) for first in range(0, times, PORTION)]
        workers = min(len(os.sched_getaffinity(0)), len(portions))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, logging.disable, (logging.WARNING,)) as pool:
            for some in pool.map(partial(_portion, files, place, seed, until), portions):
                found |= some
    problems = {number: result.problem for number, result in found.items() if not result.started}
    results, done = found.values(), len(found)
    summary = (
        f"{done} damaged spools of {BATCHES} batches: {done - len(problems)} started and worked on; "
        f"{sum(result.kept for result in results) / (done * BATCHES):.1%} of the batches were saved, "
        f"the loss was counted exactly {sum(result.exact for result in results)} times; "
        f"{sum(result.later > 0 for result in results)} times more was lost, and counted, at the start after; "
        f"the longest life took {max(result.seconds for result in results):.2f} s, "
        f"{sum(result.seconds > SLOW for result in results)} over {SLOW:g} s"
    )
    lines = [summary]
    if done < times:
        lines.append(fewer(f"{done} of {times}"))
    return lines + [violated(f"number {number} of seed {seed}: {problem}") for number, problem in problems.items()]


def _portion(files: Mapping[str, bytes], place: Path, seed: int, until: float, numbers: range) -> dict[int, Result]:
    """Each with its own chance, so that one is the same whoever tries it and however many there are."""
    results: dict[int, Result] = {}
    for number in numbers:
        if time.monotonic() > until:
            break
        chance = random.Random(seed * TIMES + number)  # noqa: S311 - repeatable, not secret
        results[number] = tried(damaged(files, chance), place)
    return results


def _fill(spool: Spool, count: int) -> None:
    for n in range(count):
        batch = pb.Batch(
            epoch=spool.epoch, seq=spool.next_seq, boottime_ns=n * 15 * 10**9, schema_hash=SCHEMA.hash,
            values=bytes(8 * 500),
        )  # fmt: skip
        spool.add(batch, SCHEMA)
