"""G24 on the agent's side: the state directory's disk is full; the agent goes on and counts exactly what it lost."""

import os
import time
from pathlib import Path

from agent.batch import schema_of
from agent.disk import Disk
from agent.round import Round
from agent.sample import Family, Kind, Sample
from agent.spool import Spool
from czuwak.v1 import ingest_pb2 as pb
from tests.chaos.outcome import fewer, violated
from tests.smalldisk import filled, mounted

GOAL = "the agent's disk full (1, 4, 16 MiB): 0 exits, loss counted exactly"
START = -(2**62)
SIZES = (1, 4, 16)
SCHEMA = schema_of(Round(0.0, 0, (Sample(Family("metric", Kind.GAUGE, "One."), (), 1.0),)))


def run(budget_seconds: float, folder: Path, rounds: int = 6000) -> list[str]:
    """A day and more without a collector, on each disk, filled by somebody else in between; then everything is sent."""
    if os.geteuid() != 0:
        return [fewer("0 disks: mounting a tmpfs needs root")]
    until = time.monotonic() + budget_seconds
    lines: list[str] = []
    for mib in SIZES:
        if time.monotonic() > until:
            return [*lines, fewer(f"not tried: {mib} MiB and larger")]
        with mounted(folder / f"disk{mib}", mib) as disk:
            lines += outlived(disk, mib, rounds)
    return lines


def outlived(disk: Path, mib: int, rounds: int) -> list[str]:
    """The lines of one disk."""
    spool = _opened(disk)
    taken: dict[tuple[str, int], None] = {}
    unseen = kills = 0
    others: Path | None = None
    for n in range(rounds):
        key = (spool.epoch, spool.next_seq)
        if key in taken:
            return [violated(f"{mib} MiB: number {key[1]} was given twice")]
        taken[key] = None
        batch = pb.Batch(epoch=key[0], seq=key[1], boottime_ns=n * 15 * 10**9, schema_hash=SCHEMA.hash)
        batch.values = bytes(4000)
        spool.add(batch, SCHEMA)
        if n == rounds // 4:
            others = filled(disk)
        if n == rounds // 2 and others is not None:
            others.unlink()
        if n % 1000 == 999:  # a kill: what only memory has is gone, and nobody can count it
            unseen += len(spool._ring.loose)
            kills += 1
            assert spool._disk is not None
            spool._disk.close()
            spool = _opened(disk)
    waiting = {(entry.epoch, entry.seq): entry.number for entry in spool.waiting(START, rounds)}
    told = spool.batches
    sent = sum(spool.batch(number, pb.LANE_REPLAY) is not None for number in waiting.values())
    real = len(taken) - sent - unseen
    spool.close()
    line = (
        f"{mib} MiB: {rounds} rounds of 4 KB, full for a quarter of them, {kills} kills: {sent} kept, "
        f"{spool.dropped} counted as lost, {real} lost, {unseen} in memory at a kill"
    )
    exact = spool.dropped == real and told == sent and waiting.keys() <= taken.keys()
    return [line if exact else violated(line)]


def _opened(disk: Path) -> Spool:
    return Spool("epoch", Disk(disk / "spool.db"))
